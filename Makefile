# Everything a person does with this checkout. `make` alone prints the targets.

UV_VERSION := 0.13.9
VENV ?= .venv
BIN := $(VENV)/bin

# What an earlier `make install` was told; a later run without TORCH_BACKEND keeps to it.
INSTALLED := $(VENV)/.installed
BACKEND := $(or $(TORCH_BACKEND),$(shell cat $(INSTALLED) 2>/dev/null))

# The newest Python that works here and lies in pyproject's range; or PYTHON=/path/to/python.
CANDIDATES := python3.13 python3.12 python3.11 python3
IN_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

# A uv of exactly this version from PATH, else one in the environment itself.
UV := $(or $(shell uv --version 2>/dev/null | grep -q '^uv $(subst .,\.,$(UV_VERSION))\( \|$$\)' && command -v uv),$(BIN)/uv)

# Reinstalled: without that, uv takes the installed torch of another backend for good enough.
TORCH := $(if $(BACKEND),--torch-backend=$(BACKEND) --reinstall-package=torch --reinstall-package=torchvision)
# Compiled once here: an environment with PYTHONDONTWRITEBYTECODE would compile torch anew at each start (99 s, not 31).
INSTALL = $(UV) pip install --compile-bytecode --python $(BIN)/python $(strip $(TORCH) --requirement requirements.lock)

# 4 of the 6.8 GB of an environment: which CUDA libraries a torch needs, the chosen torch says at installation.
CUDA := cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cccl nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx triton

# Where pip is told of an index or a certificate and uv is not, uv gets pip's: it does not read pip's settings itself.
define AS_PIP
if [ -z "$${UV_DEFAULT_INDEX:-}$${UV_INDEX_URL:-}" ]; then \
	index=$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || true)}; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
fi; \
if [ -z "$${SSL_CERT_FILE:-}" ] && [ -n "$${PIP_CERT:-}" ]; then export SSL_CERT_FILE="$$PIP_CERT"; fi
endef

# The lease script's own environment, the value of a variable of the site, and the leases' reservations as TF_VAR_….
LEASE := terraform/lease/.venv
POOL ?= cpu
LEASE_CLOUD ?= $(call TFVAR,cloud)
TFVAR = $(shell sed -nE 's/^$(1) *= *"(.*)"/\1/p' terraform/site.tfvars 2>/dev/null)
LEASED = set -ea; [ -e var/lease-cpu.env ] || { echo "make lease comes first" >&2; exit 1; }; for file in var/lease-*.env; do . ./$$file; done

.DEFAULT_GOAL := help
.PHONY: help install check test test-infra test-cluster test-openstack test-ansible test-restore lease nodes cluster destroy demo up bench bench-serving on-device lock images clean print-install-command programs FORCE

help: ## print the targets
	@echo "chexpert: chest X-ray triage. Research use, not for diagnosis."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F '\t' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv from requirements.lock; TORCH_BACKEND=cpu|auto|cu130 chooses a torch, PYTHON= a Python

ifneq ($(TORCH_BACKEND),)
ifneq ($(TORCH_BACKEND),$(shell cat $(INSTALLED) 2>/dev/null))
$(INSTALLED): FORCE
endif
endif

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/python
	@if [ "$(UV)" = "$(BIN)/uv" ] && ! "$(BIN)/uv" --version 2>/dev/null | grep -qE '^uv $(subst .,\.,$(UV_VERSION))( |$$)'; then \
		echo "uv $(UV_VERSION) into $(VENV)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
	fi
	@$(AS_PIP); set -ex; $(INSTALL); $(UV) pip install --python $(BIN)/python --no-deps --editable .
	@echo "$(BACKEND)" > $@

$(BIN)/python:
	@set -e; chosen=; bare=; \
	for python in $(or $(PYTHON),$(CANDIDATES)); do \
		"$$python" -c '$(IN_RANGE)' 2>/dev/null || continue; \
		if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then chosen=$$python; break; fi; \
		bare=$${bare:-$$python}; \
	done; \
	if [ -n "$$chosen" ]; then \
		echo "$(VENV) with $$("$$chosen" --version)"; \
		"$$chosen" -m venv --clear "$(VENV)"; \
	elif [ -n "$$bare" ]; then \
		version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$$bare cannot make environments: apt-get install python$$version-venv (as root), then make again" >&2; exit 1; \
	else \
		echo "no Python from 3.11 to 3.13 among: $(or $(PYTHON),$(CANDIDATES)). apt-get install python3 python3-venv (as root)," \
			"or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi

print-install-command: # what `make install` runs, for a test to read
	@echo '$(INSTALL)'

check: $(INSTALLED) ## format, lint, types, layers, and the rules of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/house

test: $(INSTALLED) programs ## run all tests; ARGS= goes to pytest
	$(BIN)/pytest -q -n 2 $(ARGS)

test-infra: $(INSTALLED) ## check charts, kustomizations, workflows, Terraform, Ansible and policies without a cluster (part of make test)
	$(BIN)/pytest -q -rs tests/charts tests/infra tests/pipeline/test_contract.py tests/terraform tests/ansible/test_roles.py $(ARGS)

test-cluster: $(INSTALLED) ## install into the cluster of KUBECONFIG, try everything there, take it away; settings in docs/cluster.md
	CLUSTER_TESTS=1 PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest -v -s tests/cluster $(ARGS)

test-openstack: $(INSTALLED) $(LEASE)/.installed ## Terraform and leases on a real OpenStack on loopback, as root (docs/terraform.md)
	OPENSTACK_TESTS=1 $(BIN)/pytest -v -rs tests/openstack $(ARGS)

test-ansible: $(INSTALLED) .venv-ansible ## Ansible's roles on three Debian nodes with systemd, as root (docs/ansible.md)
	ANSIBLE_TESTS=1 $(BIN)/pytest -v -rs tests/ansible $(ARGS)

test-restore: $(INSTALLED) programs ## backup and restore of tables and objects, rehearsed (docs/data-at-scale.md)
	$(BIN)/pytest -v -rs tests/restore $(ARGS)

lease: $(LEASE)/.installed terraform/site.tfvars ## reserve nodes at Chameleon: ARGS="--flavor m1.large --amount 3", POOL=gpu (docs/chameleon.md)
	@mkdir -p var
	$(LEASE)/bin/python terraform/lease/lease.py ensure --cloud $(LEASE_CLOUD) --suffix $(call TFVAR,project_suffix) \
		--pool $(POOL) $(ARGS) > var/lease-$(POOL).new
	mv var/lease-$(POOL).new var/lease-$(POOL).env

nodes: terraform/site.tfvars ## make the nodes of the lease, by Terraform; ARGS=-auto-approve does not ask
	@$(LEASED); for root in persistent ephemeral; do \
		terraform -chdir=terraform/$$root init; terraform -chdir=terraform/$$root apply -var-file=../site.tfvars $(ARGS); done
	terraform -chdir=terraform/ephemeral output -raw inventory > var/inventory.yaml

cluster: .venv-ansible ## bring up Kubernetes and Argo CD on the nodes, by Ansible; ARGS= goes to it
	ANSIBLE_CONFIG=ansible/ansible.cfg .venv-ansible/bin/ansible-playbook -i var/inventory.yaml ansible/site.yml $(ARGS)

destroy: ## take the nodes away; volumes, object containers and network stay
	@$(LEASED); terraform -chdir=terraform/ephemeral destroy -var-file=../site.tfvars $(ARGS)
	rm -f var/known_hosts

terraform/site.tfvars:
	@echo "cp terraform/site.tfvars.example $@, and state there what your site is" >&2; exit 1

$(LEASE)/.installed: terraform/lease/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $(LEASE)
	$(LEASE)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

.venv-ansible: ansible/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $@
	$@/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

demo: $(INSTALLED) ## run the main job; DATA= TRAFFIC= folders, FAULT= plants one, ONCE=1 exits at the end
	$(strip $(BIN)/chexpert demo $(if $(DATA),--data $(DATA)) $(if $(TRAFFIC),--traffic $(TRAFFIC)) \
		$(if $(FAULT),--fault $(FAULT)) $(if $(filter-out 0,$(ONCE)),--once))

up: $(INSTALLED) ## run site, worker and model servers on loopback until Ctrl-C
	$(BIN)/chexpert up

bench: $(INSTALLED) ## measure what design and README state as numbers
	@set -e; for file in bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

bench-serving: $(INSTALLED) ## measure the server beside its peers for an hour, on an idle machine; ARGS="--quick" and docs/performance.md
	$(BIN)/python -m bench.serving $(ARGS)

on-device: $(INSTALLED) ## fetch what /on-device needs to score in the reader's browser; NPM_CONFIG_REGISTRY= another registry
	$(BIN)/python -m chexpert.triage.on_device_runtime

lock: $(INSTALLED) ## write requirements.lock anew from pyproject.toml; ARGS=--upgrade takes newer versions
	@$(AS_PIP); set -ex; $(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --group dev \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		$(addprefix --no-emit-package=,$(CUDA)) $(ARGS) --output-file requirements.lock pyproject.toml

images: ## build container images; IMAGES="serve web" some of them, IMAGE_REGISTRY= pushes (docs/images.md)
	$(or $(wildcard $(BIN)/python),python3) images/build.py $(IMAGES)

clean: ## remove what runs and tools left behind; the environment stays
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The site's pages are tested in Debian's Chromium, its tables on Debian's PostgreSQL, backups with rclone. Not there and not
# to be had: those tests say so and are skipped. Of PostgreSQL only the programs are wanted: no server is to start by itself.
programs:
	@missing=; \
	command -v chromium >/dev/null || missing="chromium fonts-dejavu-core"; \
	{ command -v pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl; } >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v rclone >/dev/null || missing="$$missing rclone"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		mkdir -p /etc/postgresql-common; \
		[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf; \
		apt-get update -qq >/dev/null </dev/null; \
		: one by one, as Ubuntu has no chromium package; \
		for package in $$missing; do \
			apt-get install -y -qq --no-install-recommends $$package >/dev/null </dev/null \
				|| echo "$$package could not be installed: its tests will be skipped"; \
		done; \
	else echo "not here: $$missing; their tests will be skipped (apt-get install them, as root)"; fi

FORCE:
