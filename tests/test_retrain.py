"""Retraining is plain PyTorch under a schedule: the same run, judged the way a user would."""

import pytest
import torch
from torch import nn

import nongreedy as ng

from .helpers import CLIPPINGS, MODELS, classes, tiny_task

SCHEDULE = ng.Schedule.of(learning_rate=[0.3, 0.1], momentum=[0.9, 0.0, 0.5], weight_decay=0.01)


def vector(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("clipping", CLIPPINGS)
@pytest.mark.parametrize("model", MODELS)
def test_it_is_the_run_that_was_differentiated(model, clipping):
    # Initialization, order, augmentation, dropout, clipping and schedule are all the run's own.
    def augment(inputs, generator):
        return inputs + 0.1 * torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype)

    task, optimizer = tiny_task(model, augment=augment), ng.SGD(**CLIPPINGS[clipping])
    run = ng.Run(task, optimizer, 20, seed=5)
    final = ng.Reverse().rollout(run, SCHEDULE).final[0]
    found = ng.retrain(task, SCHEDULE, steps=20, seed=5, optimizer=optimizer)
    torch.testing.assert_close(vector(found.model), final, rtol=1e-4, atol=1e-5)
    if "norm" not in model and model != "conv_net":  # there evaluation uses running statistics
        outcome = run.outer_loss(final)
        assert found.validation_loss == pytest.approx(outcome.loss, rel=1e-4)
        assert found.validation_accuracy == outcome.accuracy


@pytest.mark.parametrize(
    "optimizer",
    [
        ng.SGD(momentum=0.9, weight_decay=0.1),
        ng.AdamW(),  # without the weight decay that torch's has by default
        ng.AdamW(beta1=0.5, weight_decay=0.3),
        ng.Grouped(ng.SGD(weight_decay=0.3), {"vectors": {"weight_decay": 0.0}}),
        ng.Muon(adam_learning_rate=0.1),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_what_the_schedule_does_not_set_is_as_the_optimizer_has_it(optimizer):
    schedule = ng.Schedule.of(learning_rate=[0.1, 0.05])
    problem = ng.Problem(tiny_task(), optimizer, 12)
    run = problem.run(3)
    final = run.optimizer.answer(ng.Reverse().rollout(run, problem.at(schedule)).final)
    found = ng.retrain(tiny_task(), schedule, steps=12, seed=3, optimizer=optimizer)
    torch.testing.assert_close(vector(found.model), final, rtol=1e-4, atol=1e-5)


def test_a_momentum_stands_for_the_first_beta_of_an_optimizer_that_has_none():
    named = {"learning_rate": 0.1, "beta1": 0.5}, {"learning_rate": 0.1, "momentum": 0.5}
    losses = [
        ng.retrain(
            tiny_task(), ng.Schedule.of(**row), steps=6, optimizer=ng.AdamW()
        ).validation_loss
        for row in named
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (ng.SGD(clip_norm=0.1), r"clip_norm=0\.1"),
        (ng.SGD(nesterov=True), "nesterov=True"),
        (ng.Scaled(ng.SGD(clip_value=1.0), {"*bias": {"learning_rate": 2.0}}), r"clip_value=1\.0"),
        (ng.ScheduleFreeSGD(), "class='ScheduleFreeSGD'"),  # its settings are those of SGD
    ],
)
def test_a_schedule_of_another_update_is_not_trained_by_sgd_without_a_word(optimizer, words):
    task, schedule = tiny_task(), ng.Schedule.initial(optimizer.hyperparameters(6))
    schedule = schedule.with_settings({"optimizer": optimizer.to_json()})
    with pytest.raises(ValueError, match=words):
        ng.retrain(task, schedule, steps=6)
    ng.retrain(task, schedule, steps=6, optimizer=optimizer)
    plain = ng.Schedule.of(learning_rate=0.1).with_settings({"optimizer": ng.SGD(0.1).to_json()})
    ng.retrain(task, plain, steps=6)


def test_seeds_and_schedules_matter():
    task = tiny_task()
    runs = [
        vector(ng.retrain(task, schedule, steps=6, seed=seed).model)
        for schedule, seed in (
            (SCHEDULE, 0),
            (SCHEDULE, 0),
            (SCHEDULE, 1),
            (ng.cosine_schedule(0.1), 0),
        )
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2]) and not torch.equal(runs[0], runs[3])


def test_epochs_stretch_the_schedule():
    task = tiny_task()
    one, other = (
        ng.retrain(task, SCHEDULE, seed=0, **length) for length in ({"epochs": 3}, {"steps": 6})
    )
    assert torch.equal(vector(one.model), vector(other.model))


def test_judged_on_all_of_validation_and_test():
    inputs, targets = classes(2500, (4,), 7)  # more than one evaluation batch, the last one smaller
    task = tiny_task(validation=(inputs, targets), test=(inputs[:1300], targets[:1300]))
    found = ng.retrain(task, SCHEDULE, steps=6)
    with torch.no_grad():
        output = found.model(inputs.float())
    for part, loss, accuracy in (
        (slice(None), found.validation_loss, found.validation_accuracy),
        (slice(1300), found.test_loss, found.test_accuracy),
    ):
        expected = nn.functional.cross_entropy(output[part], targets[part]).item()
        assert loss == pytest.approx(expected, rel=1e-5)
        right = (output[part].argmax(1) == targets[part]).double().mean().item()
        assert accuracy == pytest.approx(right)


def test_accuracy_of_examples_with_several_targets_is_the_share_that_is_right():
    inputs, first = classes(1200, (4,), 7)
    targets = torch.stack([first, (first + 1) % 3], 1)

    def model():
        return nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (3, 2)))  # (B, classes, targets)

    data = (inputs, targets)
    task = ng.Task(model, nn.functional.cross_entropy, data, data, batch_size=24)
    found = ng.retrain(task, SCHEDULE, steps=20)
    with torch.no_grad():
        right = found.model(inputs.float()).argmax(1) == targets
    assert 0.5 < found.validation_accuracy < 1
    assert found.validation_accuracy == pytest.approx(right.double().mean().item())
    outcome = ng.Run(task, ng.SGD(), 20).outer_loss(vector(found.model))
    assert outcome.accuracy == pytest.approx(found.validation_accuracy)


def test_without_test_data_or_classes():
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    task = ng.Task(lambda: nn.Linear(3, 1), nn.functional.mse_loss, (x, y), 0.25, batch_size=5)
    found = ng.retrain(task, SCHEDULE, steps=4)
    assert found.validation_loss > 0 and found.validation_accuracy is None
    assert found.test_loss is None and found.test_accuracy is None


def test_running_statistics_are_those_of_the_training_data():
    # Momentum 0.1 would remember the initial statistics: re-estimation must be a plain average.
    inputs, targets = classes(24, (4,), 3)

    def model():
        return nn.Sequential(nn.BatchNorm1d(4, momentum=0.1), nn.Dropout(0.5), nn.Linear(4, 3))

    task = tiny_task(model=model, train=(3 * inputs + 5, targets), batch_size=24)
    found = ng.retrain(task, SCHEDULE, steps=2).model
    data = (3 * inputs + 5).float()
    torch.testing.assert_close(found[0].running_mean, data.mean(0))
    torch.testing.assert_close(found[0].running_var, data.var(0))
    assert found[0].momentum == 0.1  # the layer's own setting is given back
    assert not any(module.training for module in found.modules())


def test_reestimation_averages_over_batches_and_ignores_dropout():
    inputs, targets = classes(24, (4,), 3)

    def model():
        return nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 3))

    task = tiny_task(model=model, train=(inputs, targets), batch_size=6)
    found = ng.retrain(task, SCHEDULE, steps=2).model
    # Four batches of equal size cover an epoch: their means average to the mean of the data.
    torch.testing.assert_close(found[1].running_mean, inputs.float().mean(0))


def test_a_diverged_run_has_an_infinite_loss():
    def loss(output, target):
        return output.square().mean()

    task = tiny_task(loss=loss, test=classes(5, (4,), 1))
    found = ng.retrain(task, ng.Schedule.of(learning_rate=1e20), steps=9)
    assert found.validation_loss == found.test_loss == float("inf")


def test_a_given_module_is_where_every_seed_starts():
    module = MODELS["mlp"][0]()
    before = vector(module)
    task = tiny_task(model=module, batch_size=14)
    runs = [vector(ng.retrain(task, SCHEDULE, steps=3, seed=seed).model) for seed in (0, 1)]
    assert torch.equal(*runs)  # full batch, no dropout: nothing else depends on the seed
    assert torch.equal(vector(module), before)  # it was copied, not trained


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, left, right):
        return self.left(left) + self.right(right)


@pytest.mark.parametrize("form", ["tuple", "mapping"])
def test_several_inputs(form):
    inputs, targets = classes(14, (4,), 1)
    left, right = inputs.float(), inputs.flip(1).float()
    wrapped = (lambda a, b: (a, b)) if form == "tuple" else (lambda a, b: {"left": a, "right": b})
    pairs = list(zip(left, right, strict=True))
    data = [(wrapped(a, b), y) for (a, b), y in zip(pairs, targets, strict=True)]
    task = tiny_task(model=TwoInputs, train=data, validation=data)
    found = ng.retrain(task, SCHEDULE, steps=8)
    final = ng.Reverse().rollout(ng.Run(task, ng.SGD(), 8), SCHEDULE)
    torch.testing.assert_close(vector(found.model), final.final[0], rtol=1e-4, atol=1e-6)
    assert found.validation_loss == pytest.approx(final.outcome.loss, rel=1e-4)
    assert ng.hypergradient(task, ng.SGD(), steps=4).gradients["learning_rate"].isfinite().all()
