# Everything is started here; `make` lists what there is.
SHELL := bash
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export DVC_NO_ANALYTICS := 1
export GIT_PYTHON_REFRESH := quiet
# Python 3.11 to 3.13; another one: make install PYTHON=/path/to/python
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) and print("$(p)")' 2>/dev/null)))
# where torch comes from, for example TORCH_INDEX=https://download.pytorch.org/whl/cpu for a small CPU-only torch
TORCH_INDEX ?=
PORT ?= 5000
export WHY
# KEY=VALUE... of the command line as an array, values with spaces, quotes and & whole; read undoes make's backslashes
CHOSEN = read -a chosen <<< '$(subst ','\'',$(subst $$$$,$$,$(filter-out PYTHON=% TORCH_INDEX=% PORT=% TARGET=%,$(MAKEOVERRIDES))))'
INSTALLED := $(VENV)/installed
.DEFAULT_GOAL := help
.PHONY: help install data repro job study sweep test lint format params serve sync ui rollback clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

install: $(INSTALLED) ## make the environment .venv from constraints.txt (nothing to do if that is unchanged)

$(INSTALLED): pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11 to 3.13 found; name one: make install PYTHON=/path/to/python' >&2; exit 1; }
	@echo 'installing into $(VENV): about 3.5 GB, two to eight minutes (torch for CUDA is larger; TORCH_INDEX in the Makefile)'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --progress-bar on --disable-pip-version-check --use-pep517 \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e '.[dev]'
	@touch $@

data: $(INSTALLED) ## make the sample if data/ is absent, and compare data/ with data.dvc
	@git rev-parse --git-dir >/dev/null 2>&1 || dvc config --local --quiet core.no_scm true
	@python -m pipelines.data

repro: data ## run the pipeline: prepare, project, pretrain, scratch, finetune, evaluate, register; then show the results
	@python -m pipelines.repro
	@python -m pipelines.show

job: data ## run the pipeline as a job on a running Ray cluster (docs/cluster.md); Ctrl-C stops it; TARGET=scratch: up to that stage
	@python -m pipelines.job $(TARGET)
	$(if $(TARGET),,@python -m pipelines.show)

study: data ## error against amount of labels, with and without pre-training (about an hour on CMU, minutes on the sample), into reports/study; resumes
	@dvc repro studies/dvc.yaml

sweep: data ## accuracy against cost: many settings side by side (conf/sweep); minutes on the sample; into reports/sweep; resumes
	@dvc repro sweeps/dvc.yaml

params: $(INSTALLED) ## compose params.yaml from conf/: make params model=small finetune.epochs=5
	@$(CHOSEN); exec python -m pipelines.params "$${chosen[@]}"

serve: $(INSTALLED) ## serve the champion over HTTP on this machine (docs/deploy.md): make serve model=models/finetuned port=8001
	@$(CHOSEN); exec python -m pipelines.serve "$${chosen[@]}"

lint: $(INSTALLED) ## ruff and mypy
	@ruff check .
	@ruff format --check .
	@mypy

format: $(INSTALLED) ## fix and format the code with ruff
	@ruff check --fix .
	@ruff format .

test: lint ## lint, then all tests
	@OMP_NUM_THREADS=1 pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

sync: $(INSTALLED) ## send to MLflow the records that earlier runs could not, and say what is left
	@python -m pipelines.sync

ui: $(INSTALLED) ## open MLflow in the browser, at the comparison of the fine-tunings (PORT=5000)
	@python -m pipelines.ui $(PORT)

rollback: $(INSTALLED) ## move `champion` back to the previous version, or TO=VERSION, WHY='...'; LIST=1 shows the versions
	@python -m pipelines.rollback $(if $(LIST),--list) $(if $(TO),--to '$(TO)') --why "$$WHY"

clean: ## remove stage outputs and caches; data/, the environment, runs/ and the MLflow history stay
	@rm -rf datasets models reports .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
