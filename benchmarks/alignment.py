"""Does each term fall, and do the features move, against the control of the same forward mode?

An accuracy alone does not prove that a method acts. For two pairs of Office-31 this trains the control and every method from
one seed (same initial weights, same batches) and measures on all rows, in evaluation mode, what each method is meant to
lower; and how far the target features stand from the control's.

    python benchmarks/alignment.py FEATURES.npz       # writes benchmarks/results/alignment.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from dalib import Outputs, coral_loss, joint_forward, mcc_loss, mmd_loss, multilinear, separate_forward
from dalib.benchmark import Protocol, scenarios, trained
from dalib.data import office31
from dalib.methods import cdan, control, dan, dann, deep_coral, mcc

OUT = Path(__file__).parent / "results" / "alignment.json"
METHODS = {"control": control, "dan": dan, "deep_coral": deep_coral, "dann": dann, "cdan": cdan, "mcc": mcc}
PAIRS = [("A", "W"), ("D", "A")]


def domain_accuracy(source: torch.Tensor, target: torch.Tensor) -> float:
    """Cross-validated, balanced accuracy of a linear classifier that tells the domains apart; 0.5 is chance."""
    rows = min(len(source), len(target), 400)
    generator = np.random.default_rng(0)
    chosen = [x[generator.permutation(len(x))[:rows]].numpy() for x in (source, target)]
    scaled = np.concatenate(chosen) / np.concatenate(chosen).std()
    classifier = LogisticRegression(C=1.0, max_iter=2000)
    return float(cross_val_score(classifier, scaled, np.repeat([0, 1], rows), cv=5).mean())


def projected(outputs: Outputs) -> torch.Tensor:
    """The features conditioned on predictions, brought to 256 columns by a fixed random map."""
    flat = multilinear(outputs)
    generator = torch.Generator().manual_seed(0)
    return flat @ torch.randn(flat.shape[1], 256, generator=generator) / 16


def measured(source: Outputs, target: Outputs) -> dict[str, float]:
    first, second = source.features[:1000], target.features[:1000]
    return {
        "mmd": mmd_loss(first, second).item(),
        "coral": coral_loss(first, second).item(),
        "domain_accuracy": domain_accuracy(source.features, target.features),
        "conditional_domain_accuracy": domain_accuracy(projected(source), projected(target)),
        "mcc": mcc_loss(target.logits).item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features", help="the .npz of Office-31 features")
    domains = office31(parser.parse_args().features)
    torch.set_num_threads(1)
    rows = []
    for scenario in scenarios(domains, PAIRS):
        for forward in (separate_forward, joint_forward):
            protocol = Protocol(forward=forward, checkpoints=1)
            task = scenario.task(scenario.split(seed=0))
            reference = None
            for name, recipe in METHODS.items():
                (last,) = trained(recipe, protocol)(task, 0)
                source, target = last.predict(task.source), last.predict(task.target)
                reference = target.features if reference is None else reference
                moved = ((target.features - reference).norm() / reference.norm()).item()
                row = {"pair": scenario.name, "forward": protocol.mode, "method": name}
                rows.append({**row, **measured(source, target), "moved": moved})
                print(rows[-1], flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"seed": 0, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
