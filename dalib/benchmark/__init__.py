"""An honest benchmark: methods that never see target labels, and records that say how every number was picked."""

from dalib.benchmark.backbone import Backbone
from dalib.benchmark.backbone_spec import backbone
from dalib.benchmark.checkpoint import Checkpoint, Method, evaluate
from dalib.benchmark.engine import Progress, RunsFailedError, benchmark
from dalib.benchmark.extraction import Extracted, extract_features
from dalib.benchmark.group import Group, groups
from dalib.benchmark.open_scenarios import (
    PUBLISHED_SPLITS,
    ClassSplit,
    open_set_scenarios,
    partial_scenarios,
    published_scenarios,
    universal_scenarios,
)
from dalib.benchmark.protocol import Protocol
from dalib.benchmark.ranks import weighted_spearman
from dalib.benchmark.record import Run, load_runs
from dalib.benchmark.report import report
from dalib.benchmark.run import run
from dalib.benchmark.scenario import Scenario, Split, scenarios
from dalib.benchmark.scores import SCORES, Score
from dalib.benchmark.search import Search, Trial, grid_search, optuna_search
from dalib.benchmark.select import select
from dalib.benchmark.statistics import (
    Comparison,
    Ranking,
    ValidatorQuality,
    comparisons,
    ranking,
    signed_rank_p,
    validator_quality,
)
from dalib.benchmark.table import table
from dalib.benchmark.target_supervised import TargetSupervised, target_supervised
from dalib.benchmark.task import Task
from dalib.benchmark.tensorboard import TensorBoard
from dalib.benchmark.trained import Trained, trained

__all__ = [
    "PUBLISHED_SPLITS",
    "SCORES",
    "Backbone",
    "Checkpoint",
    "ClassSplit",
    "Comparison",
    "Extracted",
    "Group",
    "Method",
    "Progress",
    "Protocol",
    "Ranking",
    "Run",
    "RunsFailedError",
    "Scenario",
    "Score",
    "Search",
    "Split",
    "TargetSupervised",
    "Task",
    "TensorBoard",
    "Trained",
    "Trial",
    "ValidatorQuality",
    "backbone",
    "benchmark",
    "comparisons",
    "evaluate",
    "extract_features",
    "grid_search",
    "groups",
    "load_runs",
    "open_set_scenarios",
    "optuna_search",
    "partial_scenarios",
    "published_scenarios",
    "ranking",
    "report",
    "run",
    "scenarios",
    "select",
    "signed_rank_p",
    "table",
    "target_supervised",
    "trained",
    "universal_scenarios",
    "validator_quality",
    "weighted_spearman",
]
