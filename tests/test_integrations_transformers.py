"""A schedule in Hugging Face's Trainer, against a plain loop over the batches that it fed."""

import doctest
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .extras import needs
from .integration_runs import (
    SCHEDULE,
    assert_same_weights,
    expected,
    set_by_hand,
    spy,
)

needs("transformers", "accelerate")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the package's own imports
    import transformers

    from nongreedy.integrations import transformers as ours
    from nongreedy.integrations.transformers import ScheduleCallback

# Trainer pins memory without an accelerator, and uses deprecated parts of its neighbours.
pytestmark = pytest.mark.filterwarnings("ignore", "error:Detected call of")

EXAMPLES, BATCH = 24, 4
STEPS = 2 * EXAMPLES // BATCH


class Net(nn.Module):
    """Has weights that decay, and biases and a norm that do not; remembers its batches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.inner, self.norm, self.outer = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)
        self.fed = []

    def forward(self, inputs, labels):
        if self.training:
            self.fed.append((inputs.detach().clone(), labels.detach().clone()))
        output = self.outer(self.norm(self.inner(inputs)))
        return {"loss": functional.mse_loss(output, labels), "logits": output}


class Data(torch.utils.data.Dataset):
    def __init__(self):
        self.inputs = torch.randn(EXAMPLES, 3, generator=torch.Generator().manual_seed(3))

    def __len__(self):
        return EXAMPLES

    def __getitem__(self, index):
        return {"inputs": self.inputs[index], "labels": self.inputs[index].sum().reshape(1)}


class Watch(transformers.TrainerCallback):
    """Notes what the optimizer holds at each of its steps."""

    def __init__(self):
        self.seen = []

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        spy(getattr(optimizer, "optimizer", optimizer), self.seen)


def trainer_of(directory, callbacks, model=None, optimizers=(None, None), judged=None, **settings):
    settings = {
        "weight_decay": 0.01, "optim": "adamw_torch", "max_grad_norm": 0.0, "num_train_epochs": 2,
        "save_strategy": "no", "logging_strategy": "no", **settings,
    }  # fmt: skip
    arguments = transformers.TrainingArguments(
        str(directory), per_device_train_batch_size=BATCH, use_cpu=True, report_to=[],
        disable_tqdm=True, **settings,
    )  # fmt: skip
    return transformers.Trainer(
        model or Net(), arguments, train_dataset=Data(), eval_dataset=judged,
        callbacks=callbacks, optimizers=optimizers,
    )  # fmt: skip


def decays(name):
    return name in ("inner.weight", "outer.weight")


def plain_loop(fed, accumulate, make):
    model = Net().train()
    groups = [
        {"params": [p for n, p in model.named_parameters() if decays(n) is decay], "decays": decay}
        for decay in (True, False)
    ]
    optimizer = make(groups)
    for step, row in enumerate(expected(len(fed) // accumulate)):
        optimizer.zero_grad()
        for inputs, labels in fed[step * accumulate : (step + 1) * accumulate]:
            (model(inputs, labels)["loss"] / accumulate).backward()
        set_by_hand(optimizer, row)
        optimizer.step()
    return model


def assert_seen(seen, total, first=0):
    """The group that decays has the schedule's values; the other one the same with a decay of 0."""
    rows = expected(total, first)
    assert [groups[0] for groups in seen] == rows
    assert [groups[1] for groups in seen] == [(*row[:2], 0.0) for row in rows]


AVERAGED = ng.Schedule.of(learning_rate=[0.02, 0.05], average_share=0.75)


class Judged(Net):
    """Notes its weights where it is evaluated."""

    def __init__(self):
        super().__init__()
        self.judged, self.trained = [], []

    def forward(self, inputs, labels):
        rows = self.trained if self.training else self.judged
        rows.append(nn.utils.parameters_to_vector(self.parameters()).detach().clone())
        return super().forward(inputs, labels)


def test_averaged_weights_are_evaluated_and_left_and_resumed(tmp_path):
    settings = {"eval_strategy": "epoch", "save_strategy": "epoch", "optim": "sgd"}

    def trained(**given):
        model = Judged()
        judged = {"one": Data(), "two": Data()}  # all of them by the averages
        callbacks = [ScheduleCallback(AVERAGED)]
        trainer = trainer_of(tmp_path, callbacks, model, judged=judged, **settings)
        trainer.train(**given)
        return model, nn.utils.parameters_to_vector(model.parameters()).detach()

    model, final = trained()
    half, begin = STEPS // 2, STEPS // 4
    visited = [*model.trained[1:], None]  # after each step but the last
    first = torch.stack(visited[begin:half]).mean(0)
    assert len(model.judged) == 2 * 2 * -(-EXAMPLES // 8)
    for flat in model.judged[: len(model.judged) // 2]:
        torch.testing.assert_close(flat, first, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(flat, final) for flat in model.judged[len(model.judged) // 2 :])
    _, resumed = trained(resume_from_checkpoint=str(tmp_path / f"checkpoint-{half}"))
    torch.testing.assert_close(resumed, final, rtol=0, atol=0)
    # The last of the trained weights moves once more before it is averaged: by its own gradient.
    last = Net()
    nn.utils.vector_to_parameters(model.trained[-1].clone(), last.parameters())
    inputs, labels = model.fed[-1]
    loss = last.train()(inputs, labels)["loss"]
    slopes = torch.autograd.grad(loss, list(last.parameters()))
    moved = model.trained[-1] - 0.05 * torch.cat([slope.reshape(-1) for slope in slopes])
    mean = torch.stack([*visited[begin:-1], moved]).mean(0)
    decay = 0.05 * 0.01  # of which the average sees less than this
    torch.testing.assert_close(final, mean, rtol=2 * decay, atol=2 * decay)


def final_of(directory, schedule=AVERAGED, **given):
    settings = {
        "eval_strategy": "steps", "eval_steps": 3, "save_strategy": "best",
        "metric_for_best_model": "loss", "greater_is_better": False, "optim": "sgd",
    }  # fmt: skip
    trainer = trainer_of(directory, [ScheduleCallback(schedule)], judged=Data(), **settings)
    trainer.train(**given)
    return nn.utils.parameters_to_vector(trainer.model.parameters()).detach()


def test_a_checkpoint_that_an_evaluation_asks_for_has_the_averages_of_its_step(tmp_path):
    final = final_of(tmp_path)
    saved = sorted(int(path.name.rpartition("-")[2]) for path in tmp_path.glob("checkpoint-*"))
    assert len(saved) > 1 and saved[-2] > STEPS // 4  # where averages have begun
    checkpoint = tmp_path / f"checkpoint-{saved[-2]}"
    assert torch.equal(final_of(tmp_path, resume_from_checkpoint=str(checkpoint)), final)


def test_a_checkpoint_without_averages_is_told(tmp_path):
    plain = ng.Schedule.of(learning_rate=[0.02, 0.05])
    final_of(tmp_path, plain)
    checkpoint = tmp_path / "checkpoint-6"  # averages begin after step 3
    with pytest.warns(UserWarning, match=r"no averages of weights .* begin anew at step 6 of 12"):
        final_of(tmp_path, resume_from_checkpoint=str(checkpoint))


def test_averages_and_the_best_checkpoint_are_refused(tmp_path):
    trainer = trainer_of(
        tmp_path, [ScheduleCallback(AVERAGED)], eval_strategy="epoch", save_strategy="epoch",
        load_best_model_at_end=True, judged=Data(),
    )  # fmt: skip
    with pytest.raises(ValueError, match="load_best_model_at_end"):
        trainer.train()


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("optim", "make"),
    [
        ("adamw_torch", lambda groups: torch.optim.AdamW(groups, lr=1.0)),
        ("sgd", lambda groups: torch.optim.SGD(groups, lr=1.0)),
    ],
)
def test_every_step_has_the_values_of_the_schedule(optim, make, accumulate, tmp_path):
    watch, path = Watch(), SCHEDULE.save(tmp_path / "schedule.json")
    trainer = trainer_of(
        tmp_path, [ScheduleCallback(path), watch],
        optim=optim, gradient_accumulation_steps=accumulate,
    )  # fmt: skip
    trainer.train()
    assert_seen(watch.seen, STEPS // accumulate)
    assert len(trainer.model.fed) == STEPS
    assert_same_weights(trainer.model, plain_loop(trainer.model.fed, accumulate, make))


@pytest.mark.parametrize("saved_at", [3, 4, 6])  # at 3 and 4 weight decay is scheduled to be 0
def test_a_resumed_run_goes_on_where_it_was_saved(saved_at, tmp_path):
    settings = {"save_strategy": "steps", "save_steps": saved_at}
    whole = trainer_of(tmp_path, [ScheduleCallback(SCHEDULE)], **settings)
    whole.train()
    watch = Watch()
    again = trainer_of(tmp_path, [watch, ScheduleCallback(SCHEDULE)], **settings)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{saved_at}"))
    assert_seen(watch.seen, STEPS, saved_at)
    assert_same_weights(again.model, whole.model)


def test_the_log_has_the_rate_of_the_schedule(tmp_path):
    trainer = trainer_of(
        tmp_path, [ScheduleCallback(SCHEDULE)], logging_strategy="steps", logging_steps=1
    )
    trainer.train()
    logged = [row["learning_rate"] for row in trainer.state.log_history if "loss" in row]
    assert logged == [row[0] for row in expected(STEPS)]


def test_a_second_training_begins_anew(tmp_path):
    watch = Watch()
    trainer = trainer_of(tmp_path, [ScheduleCallback(SCHEDULE), watch], max_steps=4)
    trainer.train()
    watch.seen.clear()
    trainer.args.max_steps = 8
    trainer.train()
    # Both spies note every step: one is left from the first training.
    assert_seen(watch.seen[::2], 8)


def test_a_schedule_of_groups_takes_an_optimizer_of_the_users(tmp_path):
    grouped = ng.Grouped(ng.AdamW(), {"vectors": {"weight_decay": 0.0}})
    curves = {**SCHEDULE.curves, **ng.Schedule.of(**{"weight_decay[vectors]": 0.5}).curves}
    model, watch = Net(), Watch()
    optimizer = grouped.torch_optimizer(grouped.torch_groups(model.named_parameters()))
    callbacks = [ScheduleCallback(ng.Schedule(curves)), watch]
    trainer_of(tmp_path, callbacks, model, (optimizer, None), weight_decay=0.0).train()
    assert [groups[0] for groups in watch.seen] == expected(STEPS)
    assert {groups[1][2] for groups in watch.seen} == {0.5}


class Meddler(transformers.TrainerCallback):
    """Sets the rate of one group before each step."""

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        optimizer.param_groups[0]["lr"] = 0.5


@pytest.mark.parametrize(("groups", "part"), [("scale", 0.1), ("same", 1.0)])
def test_groups_keep_the_ratio_of_their_rates_whoever_meddles(groups, part, tmp_path):
    model, watch = Net(), Watch()
    pair = [
        {"params": [p for n, p in model.named_parameters() if decays(n) is decay], "lr": rate}
        for decay, rate in ((True, 0.01), (False, 0.1))
    ]
    optimizer = torch.optim.AdamW(pair, lr=1.0, weight_decay=0.01)
    callbacks = [ScheduleCallback(SCHEDULE, groups=groups), watch, Meddler()]
    with pytest.warns(UserWarning, match=r"group 0 is 0\.5, where the schedule had set") as caught:
        trainer_of(tmp_path, callbacks, model, (optimizer, None)).train()
    assert len([each for each in caught if "had set" in str(each.message)]) == 1
    assert [rows[1] for rows in watch.seen] == expected(STEPS)
    rates = [rows[0][0] for rows in watch.seen]
    assert rates == pytest.approx([row[0] * part for row in expected(STEPS)])


def test_without_weight_decay_in_the_schedule_the_groups_do_not_matter(tmp_path):
    watch = Watch()
    callbacks = [ScheduleCallback(ng.Schedule.of(learning_rate=[0.1, 0.2], weight_decay=0)), watch]
    trainer_of(tmp_path, callbacks, weight_decay=0.0).train()
    assert [groups[0][0] for groups in watch.seen] == [0.1] * 6 + [0.2] * 6
    assert {group[2] for groups in watch.seen for group in groups} == {0.0}


def with_step_lr(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2)


@pytest.mark.parametrize(
    ("settings", "optimizers", "schedule", "words"),
    [
        ({"weight_decay": 0.0}, None, SCHEDULE, r"up to 0\.3.*weight_decay=0\.01"),
        ({"lr_scheduler_type": "cosine"}, None, SCHEDULE, "'cosine'.*leave out ScheduleCallback"),
        ({"warmup_steps": 3}, None, SCHEDULE, "with 3 warm-up steps"),
        ({}, with_step_lr, SCHEDULE, "a StepLR"),
        ({"optim": "adagrad"}, None, SCHEDULE, r"'momentum'.*Adagrad"),
        ({}, None, ng.Schedule.of(**{"learning_rate[*bias]": 0.1}), "torch_groups"),
    ],
    ids=["decay", "cosine", "warmup", "scheduler", "lacks", "group"],
)
def test_what_is_refused(settings, optimizers, schedule, words, tmp_path):
    model = Net()
    pair = optimizers(model) if optimizers else (None, None)
    trainer = trainer_of(tmp_path, [ScheduleCallback(schedule)], model, pair, **settings)
    with pytest.raises(ValueError, match=words):
        trainer.train()


def test_examples_in_docstrings_run():
    assert doctest.testmod(ours).failed == 0
