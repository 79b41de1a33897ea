"""Successive halving: what a study file may ask for, and which configurations are asked for as rungs are decided."""

from __future__ import annotations

import random
import re
import shutil
import time
from pathlib import Path

import pytest

from clusters import Cluster
from nbstudy.checks import StudyError
from nbstudy.decision.elimination import Stage
from nbstudy.study.study import Study, load_study
from project import CHANGING, Project, begun, content_of, kill_together, read_run, wait_for

STUDY = """
notebooks: {run: train.ipynb}
defaults: {units: 8}
configurations:
  a: {l2: 0.0}
  b: {l2: 0.1, replicates: 2}
  c: {l2: 0.2}
  other: {epochs: 7}
halving:
  candidates: "[abc]"
  metric: val_accuracy
  rungs:
    - {epochs: 2, keep: 2}
    - {epochs: 6, keep: 1}
    - {epochs: 6, replicates: 2}
final: {refit: true}
"""


def load(place: Path, text: str, *overrides: tuple[str, str]) -> Study:
    """Write and load a study."""
    file = place / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return load_study(file, overrides)


def refusal_of(place: Path, text: str, *overrides: tuple[str, str]) -> str:
    """Return why a study is refused."""
    with pytest.raises(StudyError) as refusal:
        load(place, text, *overrides)
    return refusal.value.message


def epochs_of(study: Study) -> dict[str, int]:
    """Return the epochs that each configuration is asked to train."""
    return {name: parameters["epochs"] for name, parameters in study.configurations.items()}


# --- what is asked for ---
def test_all_candidates_and_their_replicates_begin_with_the_first_rung(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.halving
    bottom = Stage(study.halving.rungs[0], ["a", "b", "c"], {})
    assert epochs_of(study.at([bottom])) == {"a": 2, "b": 2, "b_seed_1": 2, "c": 2, "other": 7}


def test_survivors_train_longer_and_the_others_stay_as_they_are(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.halving
    first, second, _ = study.halving.rungs
    stages = [Stage(first, ["a", "b", "c"], {"b": 0.1, "c": 0.2, "a": 0.3}), Stage(second, ["b", "c"], {})]
    reached = study.at(stages)
    assert epochs_of(reached) == {"a": 2, "b": 6, "b_seed_1": 6, "c": 6, "other": 7}
    assert reached.flops["b"] == pytest.approx(3 * study.at(stages[:1]).flops["b"])


def test_last_rung_asks_for_new_seeds_of_the_survivors(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY)
    assert study.halving
    first, second, third = study.halving.rungs
    stages = [
        Stage(first, ["a", "b", "c"], {"b": 0.1, "c": 0.2, "a": 0.3}),
        Stage(second, ["b", "c"], {"b": 0.1, "c": 0.2}),
        Stage(third, ["b"], {}),
    ]
    reached = study.at(stages)
    assert list(reached.configurations) == ["a", "b", "b_seed_2", "b_seed_3", "b_seed_1", "c", "other"]
    for seed in (2, 3):  # b has had 0 and 1
        new = reached.configurations[f"b_seed_{seed}"]
        assert new == reached.configurations["b"] | {"seed": seed, "epochs": 6}


def test_final_is_the_choice_with_changes(tmp_path: Path) -> None:
    study = load(tmp_path, STUDY.replace("final: {refit: true}", "final: {refit: true, epochs: 9}"))
    assert study.halving and study.final == "final" and "final" not in study.configurations
    bottom = Stage(study.halving.rungs[0], ["a", "b", "c"], {})
    final = study.at([bottom], choice="c").configurations["final"]
    assert (final["refit"], final["epochs"], final["l2"]) == (True, 9, 0.2)


def test_final_can_be_a_mapping_without_halving(tmp_path: Path) -> None:
    text = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\nfinal: {refit: true}\n"
    study = load(tmp_path, text)
    assert study.at([], choice="b").configurations["final"]["units"] == 8


# --- what is refused ---
RUNGS = "    - {epochs: 2, keep: 2}\n    - {epochs: 6, keep: 1}\n    - {epochs: 6, replicates: 2}\n"
BAD: dict[str, tuple[str, str, list[str]]] = {
    "fewer_epochs": (
        "{epochs: 6, keep: 1}",
        "{epochs: 1, keep: 1}",
        ["rung 2: epochs", "1 are fewer than the 2"],
    ),
    "keep": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 4}", ["rung 1: keep", "4 of 3 candidates"]),
    "keep_all": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 3}", ["rung 1: keep", "would drop none"]),
    "keep_none": ("{epochs: 2, keep: 2}", "{epochs: 2, keep: 0}", ["rung 1: keep", "at least 1"]),
    "no_keep": ("{epochs: 2, keep: 2}", "{epochs: 2}", ["rung 1", "`keep` is missing"]),
    "keep_in_the_last": (
        "{epochs: 6, replicates: 2}",
        "{epochs: 6, keep: 1}",
        ["rung 3: keep", "the rule decides"],
    ),
    "early_replicates": (
        "{epochs: 2, keep: 2}",
        "{epochs: 2, keep: 2, replicates: 3}",
        ["rung 1: replicates", "last"],
    ),
    "only_rung": (RUNGS, "    - {epochs: 6, replicates: 2}\n", ["rung 1: replicates", "the last of several"]),
    "equal": (
        "c: {l2: 0.2}",
        "c: {l2: 0.0, seed: 5}",
        ["candidates", "a and c are equal but for their seed", "replicates"],
    ),
    "no_epochs": ("{epochs: 2, keep: 2}", "{keep: 2}", ["rung 1", "`epochs` is missing"]),
    "text": ("{epochs: 2, keep: 2}", "{epochs: two, keep: 2}", ["rung 1: epochs", "whole number", "'two'"]),
    "rung": ("{epochs: 2, keep: 2}", "2", ["rung 1", "must be a mapping"]),
    "key": ("{epochs: 2, keep: 2}", "{epoch: 2, keep: 2}", ["rung 1", "'epoch'", "did you mean 'epochs'"]),
    "no_rungs": (RUNGS, "", ["rungs", "are missing"]),
    "nobody": ('"[abc]"', '"mlp_*"', ["candidates", "'mlp_*'"]),
    "no_candidates": ('candidates: "[abc]"\n  ', "", ["candidates", "are missing"]),
    "replicate": ('"[abc]"', "b_seed_1", ["candidates", "'b_seed_1'"]),
    "no_metric": ("  metric: val_accuracy\n", "", ["`metric` is missing"]),
    "direction": ("val_accuracy", "val_quux", ["which values of 'val_quux' are better"]),
    "better": ("metric: val_accuracy", "metric: val_quux\n  better: up", ["halving: better", "'up'"]),
    "epochs": ("c: {l2: 0.2}", "c: {l2: 0.2, epochs: 3}", ["configuration c: epochs", "rungs of `halving`"]),
    "rounds": ("final:", "rounds: [{candidates: [a, b]}]\nfinal:", ["halving", "`rounds`"]),
    "new_run": ("  other:", "  c_seed_2: {}\n  other:", ["halving", "c_seed_2 is there already", "rename"]),
    "final_values": ("refit: true", "dropout: 2", ["final, made of a", "dropout must be"]),
    "final_parameter": ("refit: true", "refits: true", ["final", "'refits'", "did you mean 'refit'"]),
    "final_is_there": ("  other:", "  final: {}\n  other:", ["final", "is a mapping"]),
    "lengthens": ("train.ipynb", "digits.ipynb", ["halving"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_halving_is_refused(tmp_path: Path, case: str) -> None:
    old, new, expected = BAD[case]
    assert STUDY.count(old)
    message = refusal_of(tmp_path, STUDY.replace(old, new))
    for words in ["mine.yaml", *expected]:
        assert words in message, message


def test_metric_of_the_study_is_that_of_its_rungs(tmp_path: Path) -> None:
    study = load(
        tmp_path, STUDY.replace("  metric: val_accuracy\n", "") + "metric: val_quux\nbetter: higher\n"
    )
    assert study.halving and study.halving.record()["metric"] == "val_quux"
    assert study.halving.record()["better"] == "higher"


def test_template_that_lengthens_nothing_cannot_be_halved(tmp_path: Path) -> None:
    text = """
    notebooks: {run: digits.ipynb}
    configurations: {a: , b: }
    halving: {candidates: "*", metric: val_accuracy, rungs: [{epochs: 1, keep: 1}, {epochs: 2}]}
    """
    message = refusal_of(tmp_path, text)
    assert "needs a template that says what `lengthens` a run, which digits.ipynb does not" in message


@pytest.mark.parametrize(("name", "value"), [("epochs", "3"), ("seed", "1")])
def test_overrides_that_undo_halving_are_refused(tmp_path: Path, name: str, value: str) -> None:
    text = STUDY.replace("b: {l2: 0.1, replicates: 2}", "b: {l2: 0.1}")
    assert f"-p {name}" in refusal_of(tmp_path, text, (name, value))


# --- run ---
TEMPLATE = {
    "parameters": """
        steps: int = 2
        seed: int = 0
        level: float = 0.0
        slope: float = 0.0
        """,
    "preflight": """
        flops = 1000.0 * steps
        lengthens = "steps"
        checkpoint = "done.txt"
        """,
    "": """
        import json
        from pathlib import Path

        done = Path("done.txt")
        first = int(done.read_text()) if done.exists() else 0
        with Path("history.csv").open("a") as history:
            if not first:
                history.write("epoch,val_loss\\n")
            for epoch in range(first + 1, steps + 1):
                history.write(f"{epoch},{level + slope * epoch + 0.001 * seed}\\n")
        done.write_text(str(steps))
        with Path("trained.txt").open("a") as log:
            log.write(f"{first}-{steps}\\n")
        Path("result.json").write_text(json.dumps({"weights": 100 + int(10 * level)}))
        """,
}
# by level and slope: c is best after 2 epochs and worst after 6
SMALL = """
notebooks: {run: climb.ipynb}
configurations:
  a: {level: 1.0, slope: 0.0}
  b: {level: 2.0, slope: -0.1}
  c: {level: 0.5, slope: 0.3}
  d: {level: 9.0}
halving:
  candidates: "*"
  metric: val_loss
  rungs:
    - {epochs: 2, keep: 3}
    - {epochs: 6, keep: 2}
    - {epochs: 6, replicates: 2}
final: {seed: 50}
"""


@pytest.fixture
def climbing(project: Project) -> Project:
    """A project with a template whose curves are straight lines."""
    project.notebook("climb.ipynb", TEMPLATE)
    return project


def trained(project: Project, name: str) -> list[str]:
    """Return from which epoch to which a configuration was trained, attempt by attempt."""
    return project.outputs("mine", name, "trained.txt").read_text().split()


def test_study_unfolds_rung_by_rung_and_trains_nothing_twice(climbing: Project) -> None:
    study = climbing.study(SMALL)
    printed = climbing.run(study)
    assert "rung 1 of 3, 2 epochs: 0 of 4 candidates are complete" in printed
    assert "rung 2 of 3, 6 epochs: 0 of 3 candidates are complete" in printed
    assert trained(climbing, "a") == trained(climbing, "c") == ["0-2", "2-6"]
    assert trained(climbing, "d") == ["0-2"]
    names = {path.parent.name for path in climbing.outputs("mine").glob("*/run.json")}
    assert names == {"a", "b", "c", "d", "a_seed_1", "a_seed_2", "b_seed_1", "b_seed_2", "final"}
    final = read_run(climbing.outputs("mine", "final"))["parameters"]
    assert (final["level"], final["seed"], final["steps"]) == (1.0, 50, 6)
    before = content_of(climbing.outputs("mine"))
    printed = climbing.run(study)
    assert "9 of 9 complete" in printed and "started" not in printed
    assert content_of(climbing.outputs("mine")) == before
    printed = climbing.run(study, "--dry-run")
    assert "rung 1 of 3, 2 epochs: 3 of 4 candidates go on: a, b, c" in printed
    assert "rung 2 of 3, 6 epochs: 2 of 3 candidates go on: a, b" in printed
    assert "nothing to do" in printed


def survivors_of(project: Project, study: str, *options: str) -> list[str]:
    """Return what a dry run says of rungs that are decided."""
    printed = project.run(study, "--dry-run", *options)
    return re.findall(r"rung \d of \d.* go on: .*", printed)


def kept_by(outputs: Path, file: str) -> dict[str, bytes]:
    """Return the content of a file of every complete run, by the run's name."""
    return {path.parent.name: path.read_bytes() for path in outputs.glob(f"*/{file}")}


def test_survivors_are_the_same_for_any_number_of_jobs(climbing: Project) -> None:
    study = climbing.study(SMALL)
    decided = []
    for jobs in ("1", "3"):
        climbing.run(study, "--jobs", jobs, "--outputs", f"jobs_{jobs}")
        printed = climbing.run(study, "--dry-run", "--outputs", f"jobs_{jobs}")
        decided.append(re.findall(r"rung \d of \d.*", printed))
    assert decided[0] == decided[1] and len(decided[0]) == 3


# the first run waits until the other worker has one too
MEET = """
meeting = Path({meeting!r})
(meeting / os.environ["JPY_PARENT_PID"]).touch()
while len(list(meeting.iterdir())) < 2:
    time.sleep(0.05)
done ="""


def test_two_workers_come_to_the_same_as_one_machine(climbing: Project, cluster: Cluster) -> None:
    meeting = climbing.root / "meeting"
    meeting.mkdir()
    climbing.edit("climb.ipynb", "done =", MEET.format(meeting=str(meeting)).strip())
    climbing.edit("climb.ipynb", "import json", "import json, os, time")
    study = climbing.study(SMALL)
    workers = [cluster.worker(), cluster.worker()]
    climbing.run(study, "--scheduler", cluster.address)
    assert {path.name for path in meeting.iterdir()} == {str(worker.pid) for worker in workers}
    climbing.run(study, "--outputs", "here")
    survivors = survivors_of(climbing, study)
    assert survivors == survivors_of(climbing, study, "--outputs", "here") and len(survivors) == 2
    for file in ("history.csv", "trained.txt"):
        kept = kept_by(climbing.outputs("mine"), file)
        assert kept == kept_by(climbing.root / "here", file) and len(kept) == 9


def test_survivors_are_the_same_after_kills_at_any_instant(climbing: Project) -> None:
    climbing.edit("climb.ipynb", 'history.write(f"', 'time.sleep(0.02); history.write(f"')
    climbing.edit("climb.ipynb", "import json", "import json, time")
    study = climbing.study(SMALL)
    chance = random.Random(2)
    for _ in range(5):
        runner = climbing.start(study, "--jobs", "2")
        time.sleep(chance.uniform(1, 8))
        kill_together(runner)
    climbing.run(study)
    assert survivors_of(climbing, study) == [
        "rung 1 of 3, 2 epochs: 3 of 4 candidates go on: a, b, c",
        "rung 2 of 3, 6 epochs: 2 of 3 candidates go on: a, b",
    ]
    assert read_run(climbing.outputs("mine", "final"))["parameters"]["level"] == 1.0


def test_keeping_more_trains_only_what_is_new_and_fewer_nothing(climbing: Project) -> None:
    climbing.run(climbing.study(SMALL))
    more = climbing.study(SMALL.replace("keep: 2", "keep: 1").replace("keep: 3", "keep: 2"))
    # c and a are ahead after two epochs, and a after six: b's longer run is complete all the same
    printed = climbing.run(more, "--dry-run")
    assert "rung 1 of 3, 2 epochs: 2 of 4 candidates go on: a, c" in printed
    assert "nothing to do" in printed and "extra" not in printed
    wider = climbing.study(
        SMALL.replace("keep: 3", "keep: 4").replace("d: {level: 9.0}", "d: {level: 9.0}\n  e: {level: 8.0}")
    )
    printed = climbing.run(wider)
    assert sorted(begun(printed)) == ["e"]
    assert survivors_of(climbing, wider)[0].endswith("4 of 5 candidates go on: a, b, c, e")


def test_longer_last_rung_continues_its_runs(climbing: Project) -> None:
    climbing.run(climbing.study(SMALL))
    longer = climbing.study(SMALL.replace("{epochs: 6, replicates: 2}", "{epochs: 9, replicates: 2}"))
    printed = climbing.run(longer, "--dry-run")
    assert printed.count("resumes after epoch 6") == 4
    climbing.run(longer)
    assert trained(climbing, "a_seed_1") == ["0-6", "6-9"]
    assert trained(climbing, "a") == ["0-2", "2-6"]


def test_metric_that_no_run_has_is_said_after_the_first_rung(climbing: Project) -> None:
    study = climbing.study(SMALL.replace("metric: val_loss", "metric: val_accuracy"))
    printed = climbing.run(study, status=2)
    assert "there is no column val_accuracy" in printed and "the columns are val_loss" in printed
    assert trained(climbing, "a") == ["0-2"]


def test_failed_candidate_holds_its_rung_up_and_the_others_still_run(climbing: Project) -> None:
    climbing.edit("climb.ipynb", "import json", 'import json\nassert level != 2.0, "asked to fail"')
    study = climbing.study(SMALL)
    printed = climbing.run(study, status=1)
    assert "b: AssertionError: asked to fail" in printed and "rung 2" not in printed
    assert sorted(begun(printed)) == ["a", "b", "c", "d"]
    assert "rung 1 of 3, 2 epochs: 3 of 4 candidates are complete" in climbing.run(study, "--dry-run")


def test_diverged_candidate_does_not_go_on(climbing: Project) -> None:
    diverge = 'result = {"weights": 1}\nif level == 0.5:\n    result["diverged"] = 1\nimport json'
    climbing.edit("climb.ipynb", "import json", diverge)
    climbing.edit("climb.ipynb", 'json.dumps({"weights": 100 + int(10 * level)})', "json.dumps(result)")
    study = climbing.study(SMALL)
    climbing.run(study)
    assert survivors_of(climbing, study)[0].endswith("3 of 4 candidates go on: a, b, d")


# --- the real template ---
# `poor` hardly learns; both others survive the first rung
REAL = f"""
notebooks: {{run: train.ipynb}}
defaults: {{hidden_layers: 1, units: 16, batch_size: 5000}}
configurations:
  poor: {{learning_rate: 0.000001}}
  plain: {{}}
  dropout: {{{CHANGING}}}
halving:
  candidates: "*"
  metric: val_accuracy
  rungs:
    - {{epochs: 1, keep: 2}}
    - {{epochs: 3, keep: 1}}
    - {{epochs: 3}}
"""
# As long as the directory is there, a run says that its second epoch is saved, and waits for its kill.
HOLD = """
        while epoch == 2 and Path({held!r}).exists():
            (Path({held!r}) / Path.cwd().parent.name).touch()
            time.sleep(0.05)
        for index, layer in enumerate("""


def test_networks_killed_in_the_second_rung_come_to_the_same(project: Project) -> None:
    held = project.root / "held"
    held.mkdir()
    project.edit("train.ipynb", "for index, layer in enumerate(", HOLD.format(held=str(held)).strip())
    project.edit("train.ipynb", "self.saved >= 30", "self.saved >= 0")  # a checkpoint every epoch
    study = project.study(REAL)
    runner = project.start(study, "--jobs", "2")
    wait_for(lambda: {path.name for path in held.iterdir()} == {"plain", "dropout"})
    kill_together(runner)
    shutil.rmtree(held)
    printed = project.run(study, "--jobs", "2")
    assert "rung 2 of 3, 3 epochs: 0 of 2 candidates are complete" in printed
    assert printed.count("resumes (interrupted at epoch 2)") == 2 and begun(printed) == []

    project.run(study, "--jobs", "2", "--outputs", "uninterrupted")
    survivors = survivors_of(project, study)
    assert survivors == survivors_of(project, study, "--outputs", "uninterrupted") and len(survivors) == 2
    histories = kept_by(project.outputs("mine"), "history.csv")
    assert histories == kept_by(project.root / "uninterrupted", "history.csv") and len(histories) == 3
