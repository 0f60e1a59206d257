FROM python:3.13-slim

# Where the default index is slow: docker build --build-arg PIP_INDEX_URL=https://... .
ARG PIP_INDEX_URL

COPY . /build
RUN pip install --no-cache-dir --root-user-action=ignore /build && rm -r /build && mkdir -p /var/lib/exp_pyms_api_data

EXPOSE 8000
CMD ["devicesvc", "serve", "/var/lib/exp_pyms_api_data/device.csv"]
