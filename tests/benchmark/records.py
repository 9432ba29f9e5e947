"""Records made by hand, for tests of what is computed from records."""

from dalib.benchmark import Run

PROTOCOL = {"steps": 30, "batch_size": 8, "bottleneck": 16, "backbone": {"name": "identity"}, "forward": "joint"}


def made_record(method="dann", pair="A-W", seed=0, accuracies=(0.5, 0.7, 0.6), scores=(0.3, 0.9, 0.1), mode="joint"):
    """One run whose checkpoints have these accuracies and scores of a validator ``confidence``."""
    return Run(
        method=method,
        scenario=pair,
        dataset="office",
        seed=seed,
        mode=mode,
        supervised=method == "target_supervised",
        key=f"{method}{pair}{seed}{mode}",
        config={"protocol": {**PROTOCOL, "forward": mode}},
        data={},
        split={"holdout": 0.0},
        checkpoints=[
            {
                "step": 10 * step,
                "accuracy": accuracy,
                "scores": {"confidence": score},
                "descriptions": {"mmd": 1 - accuracy},
                "losses": {"total": 1.0},
            }
            for step, (accuracy, score) in enumerate(zip(accuracies, scores, strict=False), start=1)
        ],
        seconds={"training": 2.0 + seed, "evaluation": 1.0},
        environment={
            "versions": {"torch": "2.13"},
            "commit": "0123456789",
            "device": "cpu",
            "machine": "Linux, 2 CPUs",
        },
        finished="2026-01-01T00:00:00+00:00",
    )
