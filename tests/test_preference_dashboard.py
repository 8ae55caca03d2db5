"""optuna-dashboard asks our questions, and its own interface answers them."""

import json
import threading
import urllib.request
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import pytest
import torch

from nongreedy import preference
from nongreedy.errors import StudyError
from nongreedy.preference import NoTradeoffError, larger, smaller

from .extras import needs

needs("optuna_dashboard")
pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore:.*:ResourceWarning"
)

ATTRIBUTES = [larger("accuracy"), smaller("ms", log=True)]
VALUES = [[0.99, 80.0], [0.97, 20.0], [0.93, 9.0], [0.8, 4.0], [0.6, 2.0], [0.5, 50.0]]


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


@contextmanager
def dashboard(storage):
    """Address of the dashboard's own application."""
    from optuna_dashboard import wsgi

    server = make_server("127.0.0.1", 0, wsgi(storage), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def called(address, method="GET", content=None):
    raw = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(
        address, raw, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def study(storage):
    made = optuna.create_study(
        study_name="search", storage=storage, directions=["maximize", "minimize"]
    )
    for number, values in enumerate(VALUES):
        width = optuna.distributions.IntDistribution(1, 100)
        made.add_trial(
            optuna.trial.create_trial(
                values=values, params={"width": number + 1}, distributions={"width": width}
            )
        )
    return made


@pytest.fixture
def storage(tmp_path):
    made = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    yield made
    made.remove_session()
    made.engine.dispose()


def shown(address, study_id):
    """Trials that the dashboard's page of comparisons shows: neither clicked as worse nor skipped."""
    detail = called(f"{address}/api/studies/{study_id}")
    worse = {pair[1] for pair in detail["preferences"]}
    hidden = worse | set(detail["skipped_trial_numbers"])
    return [trial for trial in detail["trials"] if trial["number"] not in hidden]


def test_the_dashboard_asks_our_question_and_its_answers_move_the_belief(storage):
    best = study(storage).best_trials
    assert len(best) == 5
    asking = preference.ask(best, ATTRIBUTES, storage=storage, questions=4)
    number = asking.study._study._study_id
    wants, means = torch.tensor([0.05, 0.95]).double(), [float(asking.dialogue.belief.mean[0])]
    while (question := asking.update()) is not None:
        assert asking.update().query.to_json() == question.query.to_json()
        # A dashboard of its own: it looks for new trials only every few seconds.
        with dashboard(storage) as address:
            trials = shown(address, number)
            attributes = [{a["key"]: a["value"] for a in trial["user_attrs"]} for trial in trials]
            members = tuple(int(each["nongreedy:item"]) for each in attributes)
            assert members == question.query.members
            for option, trial in zip(question.options, trials, strict=True):
                assert option in trial["note"]["body"]
            widths = [int(trial["params"][0]["param_external_value"]) for trial in trials]
            assert [width - 1 for width in widths] == [best[m].number for m in members]
            numbers = [trial["number"] for trial in trials]
            worst = numbers[int((question.query.points @ wants).argmin())]
            click = {"mode": "ChooseWorst", "candidates": numbers, "clicked": worst}
            called(f"{address}/api/studies/{number}/preference", "POST", click)
        found = asking.recommend()
        assert found.answers == len(means)
        means.append(found.weights["accuracy"].middle)
    asked = len(means) - 1
    assert asked >= 2 and found.name == "trial 4"  # the fastest
    assert means[-1] < 0.25 < means[0]
    # An answer that is taken back there is taken back here.
    with dashboard(storage) as address:
        history = called(f"{address}/api/studies/{number}")["preference_history"]
        last = history[-1]["history"]["id"]
        called(f"{address}/api/studies/{number}/preference/{last}", "DELETE")
    asking.update()
    assert len(asking.dialogue.answers) == asked - 1


def test_another_process_goes_on_from_the_study_alone(storage):
    best = study(storage).best_trials
    first = preference.ask(best, ATTRIBUTES, storage=storage)
    question = first.update()
    pair = [t for t in first.study.get_trials() if t.user_attrs["nongreedy:question"] == 1]
    first.study.report_preference(pair[1], pair[0])
    second = preference.ask(best, ATTRIBUTES, storage=storage)
    assert [a.choice for a in second.dialogue.answers] == [1]
    assert second.dialogue.answers[0].query.to_json() == question.query.to_json()
    other = first.update()
    assert second.update().query.to_json() == other.query.to_json()


def test_what_cannot_be_asked_there_is_refused(storage):
    made = study(storage)
    with pytest.raises(NoTradeoffError, match="best in every attribute"):
        preference.ask(made.best_trials, [larger("accuracy"), larger("ms")], storage=storage)
    with pytest.raises(ValueError, match="`slots` must be 2, not 3"):
        preference.ask(made.best_trials, ATTRIBUTES, storage=storage, slots=3)
    with pytest.raises(ValueError, match="the study keeps the answers"):
        preference.ask(made.best_trials, ATTRIBUTES, storage=storage, file="x.json")
    preference.ask(made.best_trials, ATTRIBUTES, storage=storage)
    with pytest.raises(StudyError, match="about other items"):
        preference.ask(made.best_trials[:3], ATTRIBUTES, storage=storage)
    with pytest.raises(StudyError, match="not preferential"):
        preference.ask(made.best_trials, ATTRIBUTES, storage=storage, name="search")
