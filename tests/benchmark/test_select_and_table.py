"""Selection and tables: pure functions of records, with answers known by hand."""

from dataclasses import replace

import pytest

from dalib.benchmark import Run, groups, select, table

PROTOCOL = {"steps": 30, "batch_size": 8, "bottleneck": 16, "backbone": {"name": "identity"}, "forward": "joint"}


def record(method="dann", pair="A-W", seed=0, accuracies=(0.5, 0.7, 0.6), mode="joint", **changes):
    scores = [0.3, 0.9, 0.1][: len(accuracies)]
    fields = {
        "method": method,
        "scenario": pair,
        "dataset": "office",
        "seed": seed,
        "mode": mode,
        "supervised": method == "target_supervised",
        "key": f"{method}{pair}{seed}{mode}",
        "config": {"protocol": {**PROTOCOL, "forward": mode}},
        "data": {},
        "split": {"holdout": 0.0},
        "checkpoints": [
            {"step": 10 * (step + 1), "accuracy": accuracy, "scores": {"confidence": score, "broken": None}}
            for step, (accuracy, score) in enumerate(zip(accuracies, scores, strict=True))
        ],
        "seconds": {"training": 1.0, "evaluation": 1.0},
        "environment": {},
        "finished": "2026-01-01T00:00:00+00:00",
    }
    return Run(**{**fields, **changes})


def test_the_rules_of_selection():
    run = record()
    assert select(run, "last")["accuracy"] == 0.6
    assert select(run, "oracle")["accuracy"] == 0.7
    assert select(run, "confidence")["step"] == 20
    assert select(run, "broken")["step"] == 30  # no score is a number: the last
    with pytest.raises(ValueError, match="by must be one of last, confidence, broken, oracle, got 'entropy'"):
        select(run, "entropy")


def test_among_equal_scores_the_later_checkpoint_is_taken_and_null_never():
    run = record()
    run.checkpoints[0]["scores"]["confidence"] = 0.9
    run.checkpoints[2]["scores"]["confidence"] = None
    assert select(run, "confidence")["step"] == 20
    run.checkpoints[0]["scores"]["confidence"] = 0.9 + 2e-16  # larger by rounding alone
    assert run.checkpoints[0]["scores"]["confidence"] > 0.9
    assert select(run, "confidence")["step"] == 20


def grid():
    runs = [
        record(method, pair, seed, (0.1, accuracy + 0.02 * seed))
        for method, accuracy in (("dann", 0.7), ("control", 0.5), ("aaa", 0.6))
        for pair, accuracy in (("A-W", accuracy), ("W-A", accuracy - 0.2))
        for seed in (0, 1)
    ]
    runs += [record("source_only", pair, seed, (0.4,), "source") for pair in ("A-W", "W-A") for seed in (0, 1)]
    return [*runs, record("target_supervised", "A-W", 0, (0.9,), "source")]


def cells(text, row):
    return next(line for line in text.splitlines() if line.startswith(f"| {row} |")).split(" | ")[1:]


def test_rows_are_in_order_and_hold_mean_and_deviation():
    text = table(grid(), style="markdown")
    names = [line.split(" | ")[0][2:] for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert names[:7] == ["method", "source_only", "control", "aaa", "dann", "target_supervised †", "method"]
    assert cells(text, "dann")[:2] == ["71.0 ± 1.4", "51.0 ± 1.4"]  # 70 and 72: sqrt(2) with n - 1
    assert cells(text, "dann")[2].startswith("61.0 ± 1.4")
    assert cells(text, "target_supervised †")[1] == "–"  # did not run there,
    assert cells(text, "target_supervised †")[2].startswith("–")  # so it has no average
    assert "| **oracle** |" in text
    assert "trained on the labels of 80 %" in text


def test_the_second_table_has_one_column_a_rule():
    text = table([record(seed=seed) for seed in (0, 1)], style="markdown")
    second = text.split("by the rule")[1]
    header = next(line for line in second.splitlines() if line.startswith("| method"))
    assert header == "| method | last | confidence | broken | **oracle** | n |"
    assert cells(second, "dann") == ["60.0 ± 0.0", "70.0 ± 0.0", "60.0 ± 0.0", "70.0 ± 0.0", "2 |"]


def test_columns_of_text_tables_are_aligned():
    lines = [line for line in table(grid()).splitlines() if line.startswith(("method", "dann", "source_only", "---"))]
    assert len({len(line) for line in lines[:4]}) == 1


def test_names_cannot_break_a_table():
    names = ("a|b", "two\nlines", "<b>bold</b>")
    runs = [record(name) for name in names]
    lines = table(runs, style="markdown", parts=["accuracy"]).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| &lt;b>bold&lt;/b>", "| a\\|b", "| two lines"]
    assert "two lines    " in table(runs)


def test_both_forward_modes_are_shown_apart():
    runs = [record(mode="joint", accuracies=(0.5,)), record(mode="separate", accuracies=(0.8,))]
    runs += [record("source_only", mode="source", accuracies=(0.4,))]
    text = table(runs, style="markdown")
    assert len(groups(runs)) == 1
    assert cells(text, "dann (joint)")[0] == "50.0"
    assert cells(text, "dann (separate)")[0] == "80.0"
    assert cells(text, "source_only")[0] == "40.0"
    assert "(joint)" not in table(runs[:1])


def test_other_protocols_make_other_tables_and_older_records_are_left_out():
    longer = replace(record(accuracies=(0.9,)), config={"protocol": {**PROTOCOL, "steps": 99}})
    older = replace(record(accuracies=(0.2,)), key="older", finished="2025-01-01T00:00:00+00:00")
    found = groups([record(accuracies=(0.5,)), longer, older])
    assert sorted(str(group.average(("dann", "joint"))) for group in found) == ["50.0", "90.0"]
    assert "1 older records" in table([record(), older])


def held(pair, content, **domains):
    """A record's data: hashes of a pair and of its domains."""
    return {"source": "amazon", "target": "webcam", "fingerprint": content * 64} | {
        f"{side}_fingerprint": hashed * 64 for side, hashed in domains.items()
    }


def captions(runs, **changes):
    return [
        line for line in table(runs, parts=("accuracy",), **changes).splitlines() if "at the last checkpoint" in line
    ]


def test_other_data_of_one_name_makes_another_table():
    first = record("source_only", mode="source", data=held("A-W", "a", source="1", target="2"))
    second = record("dann", data=held("A-W", "b", source="3", target="4"), finished="2026-01-02T00:00:00+00:00")
    turned = {**held("W-A", "c", source="4", target="3"), "source": "webcam", "target": "amazon"}
    third = record("dann", "W-A", data=turned, finished="2026-01-03T00:00:00+00:00")  # of the second set's domains
    found = groups([first, second, third])
    assert [(group.rows, group.pairs) for group in found] == [
        ([("source_only", "source")], ["A-W"]),
        ([("dann", "joint")], ["A-W", "W-A"]),
    ]
    one, other = captions([first, second, third])
    assert "content of amazon 111111111111, content of webcam 222222222222)" in one
    assert "content of amazon 333333333333, content of webcam 444444444444)" in other
    assert "content" not in captions([second, third])[0]


def test_old_records_are_told_apart_by_the_content_of_the_pair():
    runs = [record(data={"fingerprint": letter * 64}, seed=seed) for letter, seed in (("a", 0), ("b", 1))]
    one, other = captions(runs)
    assert "content of A-W aaaaaaaaaaaa)" in one
    assert "content of A-W bbbbbbbbbbbb)" in other


def test_one_row_has_one_configuration_the_newest():
    protocol = {**PROTOCOL, "forward": "joint"}
    runs = [record(seed=seed, accuracies=(0.2,), config={"protocol": protocol, "weight": 0.0}) for seed in (0, 1)]
    newest = {"protocol": {**protocol, "evaluation_batch_size": 4}, "weight": 1.0}
    runs.append(record(seed=2, accuracies=(0.9,), config=newest, finished="2026-01-02T00:00:00+00:00"))
    text = table(runs, style="markdown")
    assert cells(text, "dann")[0] == "90.0"
    assert "dann: the newest configuration; 2 records of others are left out." in text
    assert "configuration" not in table(runs[:2])


def test_captions_name_every_field_of_the_protocol_that_differs():
    usual = {**PROTOCOL, "rate": 0.01, "device": "cpu", "autocast": None}
    changes = ({}, {"rate": 0.1}, {"device": "cuda"}, {"autocast": "bfloat16"}, {"compile": "inductor"})
    changes += ({"backbone": {"name": "identity", "weights": "other"}},)
    runs = [record(config={"protocol": {**usual, **change}}) for change in changes]
    runs.append(record(config={"protocol": usual}, split={"holdout": 0.3}))
    runs.append(record(config={"protocol": usual}, split={"holdout": 0.0, "target_test": 0.25}))
    found = captions(runs)
    assert len(set(found)) == len(found) == len(runs)
    for words in (
        "rate 0.1,",
        "device cuda",
        "autocast bfloat16",
        "compile inductor",
        "30 % of the source rows held out",
    ):
        assert sum(words in caption for caption in found) == 1, words
    (alone,) = captions(runs[:1])
    assert "rate" not in alone
    assert "device" not in alone


def test_cells_of_fewer_seeds_say_so():
    runs = [record(seed=seed) for seed in (0, 1, 2)]
    runs += [record(pair="W-A", seed=seed) for seed in (0, 1)]
    runs += [record("control", seed=0)]
    text = table(runs, style="markdown", parts=("accuracy",))
    assert cells(text, "dann") == ["60.0 ± 0.0", "60.0 ± 0.0 (n = 2)", "60.0 ± 0.0 (n = 2) |"]
    assert cells(text, "control") == ["60.0 (n = 1)", "–", "– |"]
    assert "n: number of seeds, where they are fewer" in text
    assert "n: number" not in table(runs[:3], parts=("accuracy",))


def test_a_method_without_protocol_stands_beside_the_others():
    own = replace(record("mine", mode=""), config={})
    assert [group.rows for group in groups([record(), own])] == [[("mine", ""), ("dann", "joint")]]
    assert len(groups([own])) == 1


def test_wrong_calls():
    with pytest.raises(ValueError, match="runs must hold at least one record, got none"):
        table([])
    with pytest.raises(ValueError, match="style must be 'text' or 'markdown', got 'latex'"):
        table([record()], style="latex")  # type: ignore[arg-type]


def test_the_third_table_compares_with_source_only_and_the_control():
    lines = table(grid(), style="markdown", parts=["comparison"]).splitlines()
    assert next(line for line in lines if line.startswith("| method")) == (
        "| method | vs source_only | 95 % interval | pairs | p (smallest) "
        "| vs control | 95 % interval | pairs | p (smallest) |"
    )
    # dann: 71 and 51 where source_only has 40 and 40: +31 and +11; t of one degree of freedom is 12.706
    assert cells("\n".join(lines), "dann") == [
        *("+21.0", "-106.1 to +148.1", "2 : 0", "0.500 (0.500)", "+20.0", "+20.0 to +20.0", "2 : 0", "0.500 (0.500) |")
    ]
    assert cells("\n".join(lines), "control")[4:] == ["–", "–", "–", "– |"]
    assert "not adjusted for the number of methods" in lines[-1]
    assert not [line for line in lines if "target_supervised" in line or "oracle" in line]


def test_the_fourth_table_says_which_validator_picks_well():
    text = table([record(seed=seed) for seed in (0, 1)], style="markdown", parts=("validators",))
    assert cells(text, "last") == ["10.0", "10.0", "–", "–", "– |"]
    assert cells(text, "confidence")[:3] == ["0.0", "0.0", "0.0"]
    assert cells(text, "broken") == ["10.0", "10.0", "–", "–", "– |"]
    by_method = table([record(seed=seed) for seed in (0, 1)], style="markdown", parts=("validators_by_method",))
    assert cells(by_method, "dann")[0] == cells(text, "confidence")[3]
    assert cells(by_method, "dann")[1] == "– |"


def test_a_table_without_rows_is_left_out():
    text = table([record()])
    assert "source_only and the control" not in text
    assert "interval" not in text


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="got ranks"):
        table([record()], parts=["accuracy", "ranks"])
    with pytest.raises(ValueError, match="got none"):
        table([record()], parts=[])
