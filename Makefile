# make run   serves the registry in ./device.csv on port 8000 (STORE=... and PORT=... choose others)
# make test  runs all tests (ARGS=... are pytest's arguments); LOCKED=1, with the versions in the image
# make coverage runs all tests and shows the lines that no test reaches; it fails below the floor in setup.cfg
# make test-long runs the tests that take minutes: kill -9, full disks, crashes, the API on every kind of store
# make test-fuzz SECONDS=600 sends whatever a client may send to a service on each kind of store, for so long
# make test-cluster runs services on clusters that lose nodes (ROUNDS=5 times each); it needs the packages that .ci/test installs
# make test-container builds the image, and tests it and compose.yaml; it needs a Docker engine
# make mutants makes small faults in the code, and says which of them no test notices (ARGS=--help says what to choose)
# make image builds the image devicesvc; make push IMAGE=... gives it that name and pushes it
# make wheel builds the package, in dist
# make lock renews requirements.lock, which has the versions in the image, from setup.cfg
# make audit fails if a package in requirements.lock has a known vulnerability, or if OSV.dev, which knows them, is silent
# make bench compares this service with others and writes docs/performance.md (20 minutes; ARGS=--quick prints only)
# make bench-migrate compares devicesvc migrate with other ways to load CSV into SQLite (ARGS=--rows=100000 is shorter)
# make bench-scale measures a million devices in databases and writes docs/scaling.md (20 minutes; ARGS=--quick prints only)
# make calls LOCKED=1 PYTHON=python3.13 counts the calls of functions that a request makes; it fails if they changed
# make check runs the linters, the type checker and the spelling check
# make hooks makes git run these checks before each commit
# make picture and make api-table renew the pictures and the table of calls in the READMEs
# make vendor makes the files of others that the console uses anew; it needs npm
# make clean removes the virtual environments and what was built; make help shows these lines
# Most of these first make the virtual environment .venv, if it does not exist, with PYTHON (3.11 or newer).

PYTHON ?= python3
PORT ?= 8000
VENV := .venv$(if $(LOCKED),-locked)
LOCK := $(if $(LOCKED),$(VENV)/locked)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What a benchmark needs of Debian. To write the page again, it needs nothing.
needs = $(if $(findstring --page,$(ARGS)),,$(1:%=needs-%))

# Containers often set this. Then each of the processes that the tests start would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test coverage test-long test-fuzz test-cluster test-container mutants check hooks wheel lock image push audit bench \
  bench-migrate bench-scale calls picture api-table vendor clean help needs-wrk needs-nginx

run: $(VENV)/installed
	@$(BIN)/devicesvc serve $(if $(STORE),'$(STORE)') --port $(PORT)

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 3 $(ARGS)

coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 3 --cov --cov-report=term-missing:skip-covered $(ARGS)

test-long: $(VENV)/installed-dev
	DEVICESVC_TEST_LONG=1 $(BIN)/python -m pytest tests/long tests/api tests/browser tests/dao/test_machine.py \
	  tests/migrations/test_migrations.py tests/cli/test_databases.py tests/cli/test_feed.py \
	  tests/worker/test_requests.py tests/worker/test_slow.py tests/test_bench_scale.py tests/test_documents.py \
	  tests/test_operating.py $(ARGS)

test-fuzz: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/fuzz $(ARGS)

test-cluster: $(VENV)/installed-cluster
	$(BIN)/python -m pytest tests/cluster $(ARGS)

test-container: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/container $(ARGS)

# ARGS="--sample=50 devicesvc/csv_codec/format.py" takes minutes; --all, many hours
mutants: $(VENV)/installed-mutants
	$(BIN)/python -m tests.mutants $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github

hooks: $(VENV)/installed-dev
	$(BIN)/pre-commit install

wheel: $(VENV)/installed-dev
	rm -rf build dist
	$(BIN)/python -m build --wheel --outdir dist .

lock: $(VENV)/installed-dev
	$(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements.lock $(ARGS) setup.cfg

# --strict: otherwise packages that could not be looked up count as good
audit: $(VENV)/installed-audit
	$(BIN)/pip-audit --strict --vulnerability-service osv --disable-pip --require-hashes --requirement requirements.lock

image:
	docker build --build-arg PIP_INDEX_URL --tag devicesvc .

push:
	@[ -n "$(IMAGE)" ] || { echo "Say where to: make push IMAGE=registry.cn-chengdu.aliyuncs.com/NAMESPACE/devicesvc:1.0"; exit 1; }
	docker tag devicesvc $(IMAGE)
	docker push $(IMAGE)

# It needs Debian's wrk, and for one of the programs that it compares, npm.
bench: $(call needs,wrk) $(VENV)/installed-bench $(if $(shell command -v npm),$(VENV)/json-server/installed)
	@$(BIN)/python -m benchmarks $(ARGS)

# It compares with sqlite3, if it is installed.
bench-migrate: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks.migrate $(ARGS)

# It needs Debian's wrk and nginx.
bench-scale: $(call needs,wrk nginx) $(VENV)/installed-bench
	@$(BIN)/python -m benchmarks.scale $(ARGS)

needs-wrk needs-nginx: needs-%:
	@PATH="$$PATH:/usr/sbin" command -v $* >/dev/null || \
	  { echo "make $(MAKECMDGOALS) needs $*: install the Debian package $*." >&2; exit 1; }

calls: $(VENV)/installed
	@$(BIN)/python -m benchmarks.calls $(ARGS)

picture: $(VENV)/installed-test
	$(BIN)/python docs/picture.py

api-table: $(VENV)/installed
	$(BIN)/python docs/api_table.py

vendor:
	docs/vendor.sh

clean:
	rm -rf .venv .venv-locked build dist *.egg-info

# $(VENV)/made is made last: if something ended this rule before, the next call begins anew.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("devicesvc needs Python 3.11 or newer, and \
	$(PYTHON) is %d.%d: name a newer one, as in  make run PYTHON=python3.12" % v[:2])'
	@$(PYTHON) -c 'import ensurepip; ensurepip.version()' 2>/dev/null || $(PYTHON) -c 'import sys; sys.exit("devicesvc needs \
	the package python%d.%d-venv, which makes virtual environments: sudo apt install python%d.%d-venv" % (sys.version_info[:2] * 2))'
	@echo "Making the virtual environment $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# $(VENV)/installed marks that setup.cfg is installed; -test and the others mark that this extra is installed too.
INSTALLED := $(VENV)/installed $(VENV)/installed-test $(VENV)/installed-dev $(VENV)/installed-mutants \
  $(VENV)/installed-audit $(VENV)/installed-bench $(VENV)/installed-cluster
$(VENV)/installed: EXTRA =
$(VENV)/installed-test: EXTRA = [test]
$(VENV)/installed-dev: EXTRA = [dev]
$(VENV)/installed-mutants: EXTRA = [mutants]
$(VENV)/installed-audit: EXTRA = [audit]
$(VENV)/installed-bench: EXTRA = [bench]
$(VENV)/installed-cluster: EXTRA = [cluster]
$(INSTALLED): $(VENV)/made setup.cfg pyproject.toml $(LOCK)
	@echo "Installing devicesvc$(EXTRA) ..."
	@$(PIP) $(LOCK:%=--constraint %) --editable '.$(EXTRA)'
	@touch $@

$(VENV)/json-server/installed: $(VENV)/made
	@echo "Installing json-server, one of the programs that make bench compares ..."
	@npm install --loglevel=error --no-audit --no-fund --prefix $(@D) json-server@0.17.4 >/dev/null && touch $@ || \
	  echo "npm cannot install json-server, so it is left out."

# Installs the versions that the image has. The packages that only the tests need are not in the lock: they come later.
# If a constraint has a hash, pip wants a hash for all that it installs: so the file of constraints has none.
$(VENV)/locked: $(VENV)/made requirements.lock
	@$(PIP) --require-hashes --requirement requirements.lock
	@grep == requirements.lock | tr -d '\\' >$@
