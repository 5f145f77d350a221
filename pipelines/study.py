"""Label efficiency: what pre-training is worth, by how much motion is labelled. On demand, not part of `dvc repro`.

Its trainings (`pipelines.studying.trials`) run side by side, one CPU each; a study that is started again goes on.
"""

import logging

from pipelines import tracking
from pipelines.params import load
from pipelines.places import PROJECTIONS, STUDY
from pipelines.process.locks import alone
from pipelines.process.stage import run
from pipelines.studying.report import origin, told, write_report
from pipelines.studying.trials import Study

log = logging.getLogger(__name__)


def main() -> None:
    """Run the study and write its tables and figure."""
    params = load()
    study, about = Study(params), origin(params)
    tracked = tracking.run("study", params, data_hash=about["test_data"], parent=PROJECTIONS, output=STUDY)
    with alone(study.folder), tracked as run:
        rows = study.run()
        write_report(STUDY, rows, about)
        for path in sorted(STUDY.iterdir()):
            run.log_figure(path)
    log.info("%s", told(STUDY, rows, about))


if __name__ == "__main__":
    run(main)
