# Everything that people do here. `make` alone lists it.
PORT ?= 8080
SECONDS ?= 60
BIN := .venv/bin
INSTALLED := .venv/.installed
LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
IMAGE := $(LOCK) --constraint requirements.lock

.DEFAULT_GOAL := help
.PHONY: help demo probe test coverage check conformance clients issuers browser network connector postgres deploy fuzz format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

$(INSTALLED): requirements.lock pyproject.toml scripts/install
	@scripts/install

demo: $(INSTALLED) ## install, then run the gate with four sample servers and a development issuer (PORT=8080)
	@$(BIN)/tunnelgate demo --port $(PORT)

probe: $(INSTALLED) ## ask each server of a running demo the three questions: list, call, blocked host
	@$(BIN)/tunnelgate probe

test: $(INSTALLED) ## install, then run every test, on all cores
	@scripts/test

coverage: $(INSTALLED) ## run every test and show which branches none of them takes
	@scripts/coverage

check: $(INSTALLED) ## style, types, and the tests against the built wheel
	@scripts/check

conformance: $(INSTALLED) ## run the official MCP conformance suite alone and through the gate, and compare
	@scripts/conformance

clients: $(INSTALLED) ## let the official MCP clients use a server alone and through the gate, and compare
	@scripts/clients

issuers: $(INSTALLED) ## let a certified OAuth server make the tokens, and the official Inspector bring them
	@scripts/issuers

browser: $(INSTALLED) ## let a real browser log in at the development issuer (needs Debian's chromium)
	@scripts/browser

network: $(INSTALLED) ## put a real nginx and real source addresses in front of the gate (needs Debian's nginx-light, and root)
	@scripts/network

connector: $(INSTALLED) ## let a real cloudflared carry the octets of a tunnel to the gate (CLOUDFLARED=its path)
	@scripts/connector

postgres: $(INSTALLED) ## test the sample servers on a real PostgreSQL (needs Debian's postgresql)
	@scripts/postgres

deploy: $(INSTALLED) ## check the deployments with the tools that will read them (needs Debian's systemd, and root)
	@scripts/deploy

fuzz: $(INSTALLED) ## feed each parser random bytes (SECONDS=60)
	@scripts/fuzz --seconds $(SECONDS)

format: $(INSTALLED) ## put the sources into the agreed form
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

lock: ## resolve the dependencies anew (needs uv)
	$(LOCK) --all-extras --group dev --output-file requirements.lock pyproject.toml
	$(IMAGE) --extra gateway --extra admin --extra kubernetes --output-file deploy/docker/gate.lock pyproject.toml
	$(IMAGE) --extra gateway --extra servers --extra postgres --extra kubernetes --output-file deploy/docker/servers.lock pyproject.toml
	echo hatchling | $(IMAGE) --output-file deploy/docker/build.lock -
	$(LOCK) --extra gateway --output-file tests/clients/requirements-1x.lock pyproject.toml tests/clients/requirements-1x.in

clean: ## remove what was installed and built
	rm -rf .venv .state build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
