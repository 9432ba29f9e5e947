"""Which settings were tried before Office-31 was run, on the drawn set, whose target accuracies may be looked at.

The published code of DANN and CDAN ramps the reversal by 2/(1+exp(-i/1000))-1, which stands at 0.46 after 1000 steps;
the DANN paper ramps it to 1 over the training. CORAL's weight is 10 in DeepDA for a bottleneck, and in the paper
"such that both losses are about equal at the end". This compares them; docs/results.md says what was chosen.

    python benchmarks/settings.py            # writes benchmarks/results/settings/
"""

from pathlib import Path

from dalib import cdan, control, dan, dann, deep_coral, sigmoid_ramp
from dalib.benchmark import Backbone, Protocol, benchmark, load_runs, scenarios, table, trained
from dalib.data import pictograms
from dalib.training.backbones import small_cnn

OUT = Path(__file__).parent / "results" / "settings"
STEPS = 300


def main() -> None:
    protocol = Protocol(backbone=Backbone("small_cnn", small_cnn), backbone_factor=1.0, steps=STEPS)
    gentle = sigmoid_ramp(STEPS, alpha=1.0)
    methods = {
        "control": trained(control, protocol),
        "dan weight 1": trained(dan, protocol, weight=1.0),
        "dan weight 5": trained(dan, protocol, weight=5.0),
        "deep_coral weight 1": trained(deep_coral, protocol, weight=1.0),
        "deep_coral weight 10": trained(deep_coral, protocol, weight=10.0),
        "deep_coral weight 100": trained(deep_coral, protocol, weight=100.0),
        "dann alpha 10": trained(dann, protocol),
        "dann alpha 1": trained(dann, protocol, strength=gentle),
        "cdan alpha 10": trained(cdan, protocol),
        "cdan alpha 1": trained(cdan, protocol, strength=gentle),
    }
    benchmark(methods, scenarios(pictograms()), seeds=1, out=OUT, jobs=2)
    print(table(load_runs(OUT)[0]))


if __name__ == "__main__":
    main()
