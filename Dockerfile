FROM python:3.13-slim AS build

# If the default index is slow: docker build --build-arg PIP_INDEX_URL=https://... .
ARG PIP_INDEX_URL
ARG PIP_NO_CACHE_DIR=1
ARG PIP_ROOT_USER_ACTION=ignore
ARG PIP_DISABLE_PIP_VERSION_CHECK=1

RUN python -m venv --without-pip /opt/devicesvc
COPY requirements.lock /build/
RUN pip --python /opt/devicesvc install --require-hashes --requirement /build/requirements.lock
COPY . /build
RUN pip wheel --no-deps --wheel-dir /build/dist /build && pip --python /opt/devicesvc install --no-deps /build/dist/*.whl


FROM python:3.13-slim

LABEL org.opencontainers.image.title="devicesvc" \
      org.opencontainers.image.description="A device registry: a documented REST API over a CSV file that a person can read" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"

COPY docker-entrypoint.sh /usr/local/bin/
COPY --from=build /opt/devicesvc /opt/devicesvc
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin devicesvc

ENV PATH=/opt/devicesvc/bin:$PATH \
    DEVICESVC_STORE=/var/lib/exp_pyms_api_data/device.csv
WORKDIR /var/lib/exp_pyms_api_data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["devicesvc", "serve"]
