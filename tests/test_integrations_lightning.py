"""A schedule in Lightning's Trainer, of either package, against a plain loop."""

import doctest
import importlib
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
    seen_by,
    set_by_hand,
    spy,
)

needs("lightning")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the package's own imports
    from nongreedy.integrations import lightning
    from nongreedy.integrations.lightning import ScheduleCallback

# Lightning advises on workers and loggers, and uses deprecated parts of its neighbours.
pytestmark = pytest.mark.filterwarnings("ignore", "error:Detected call of")

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=7.0),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=7.0),
}
BATCHES = 6


def batches():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(4 * BATCHES, 3, generator=generator)
    pairs = torch.utils.data.TensorDataset(inputs, inputs.sum(1, keepdim=True))
    return torch.utils.data.DataLoader(pairs, batch_size=4)


def network():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def module_of(package, make=OPTIMIZERS["sgd"], configure=None):
    class Module(importlib.import_module(package).LightningModule):
        def __init__(self):
            super().__init__()
            self.network, self.seen = network(), []

        def training_step(self, batch, index):
            return functional.mse_loss(self.network(batch[0]), batch[1])

        def configure_optimizers(self):
            if configure is not None:
                return configure(self)
            optimizer = make(self.parameters())
            spy(optimizer, self.seen)
            return optimizer

    return Module()


def trainer_of(package, callbacks, directory, **settings):
    return importlib.import_module(package).Trainer(
        accelerator="cpu", callbacks=callbacks, default_root_dir=directory, logger=False,
        enable_progress_bar=False, enable_model_summary=False,
        **{"max_epochs": 2, "enable_checkpointing": False, **settings},
    )  # fmt: skip


def plain_loop(make, accumulate, epochs=2):
    """The same training without Lightning or any scheduler of ours."""
    model, micro = network(), list(batches()) * epochs
    optimizer, rows = make(model.parameters()), expected(len(micro) // accumulate)
    for step, row in enumerate(rows):
        optimizer.zero_grad()
        for x, y in micro[step * accumulate : (step + 1) * accumulate]:
            (functional.mse_loss(model(x), y) / accumulate).backward()
        set_by_hand(optimizer, row)
        optimizer.step()
    return model


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("package", PACKAGES)
def test_every_step_has_the_values_of_the_schedule(package, optimizer, accumulate, tmp_path):
    path, make = SCHEDULE.save(tmp_path / "schedule.json"), OPTIMIZERS[optimizer]
    module = module_of(package, make)
    trainer = trainer_of(
        package, [ScheduleCallback(path)], tmp_path, accumulate_grad_batches=accumulate
    )
    trainer.fit(module, batches())
    assert [groups[0] for groups in module.seen] == expected(2 * BATCHES // accumulate)
    assert_same_weights(module.network, plain_loop(make, accumulate))


@pytest.mark.parametrize("saved_at", [3, 6, 8])  # within an epoch, at its end, within the next
@pytest.mark.parametrize("package", PACKAGES)
def test_a_resumed_run_goes_on_where_it_was_saved(package, saved_at, tmp_path):
    checkpoints = importlib.import_module(f"{package}.callbacks").ModelCheckpoint(
        tmp_path, filename="{step}", every_n_train_steps=saved_at, save_top_k=-1
    )
    whole = module_of(package)
    # Listed first, so that the order of callbacks does not matter.
    callbacks = [checkpoints, ScheduleCallback(SCHEDULE)]
    trainer_of(package, callbacks, tmp_path, enable_checkpointing=True).fit(whole, batches())

    again, callback = module_of(package), ScheduleCallback(SCHEDULE)
    trainer = trainer_of(package, [callback], tmp_path)
    trainer.fit(again, batches(), ckpt_path=tmp_path / f"step={saved_at}.ckpt")
    assert [groups[0] for groups in again.seen] == expected(12, saved_at)
    if saved_at == BATCHES:  # elsewhere Lightning may read other batches after a resumption
        assert_same_weights(again.network, whole.network)


def test_the_same_callback_in_another_fit_begins_anew(tmp_path):
    callback, package, checkpoint = ScheduleCallback(SCHEDULE), PACKAGES[0], tmp_path / "whole.ckpt"
    for epochs, resumed in [(2, False), (3, True), (1, False)]:
        module, first = module_of(package), 2 * BATCHES * resumed
        trainer = trainer_of(package, [callback], tmp_path, max_epochs=epochs)
        trainer.fit(module, batches(), ckpt_path=checkpoint if resumed else None)
        assert [groups[0] for groups in module.seen] == expected(epochs * BATCHES, first)
        trainer.save_checkpoint(checkpoint)


AVERAGED = ng.Schedule.of(learning_rate=[0.02, 0.05], average_share=0.75)


def averaged_loop(total=2 * BATCHES, share=0.75):
    """The weights after each step, and the mean of those of the last share of the steps."""
    model, visited = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    rates = AVERAGED.values(total)["learning_rate"].tolist()
    for rate, (x, y) in zip(rates, list(batches()) * (total // BATCHES), strict=True):
        optimizer.zero_grad()
        functional.mse_loss(model(x), y).backward()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        visited.append(nn.utils.parameters_to_vector(model.parameters()).detach().clone())
    begin = round((1 - share) * total)
    return visited, lambda step: torch.stack(visited[begin : max(step, begin + 1)]).mean(0)


class Seen(importlib.import_module("lightning.pytorch").Callback):
    """Notes the weights that are validated."""

    def __init__(self):
        self.rows = []

    def on_validation_batch_start(self, trainer, pl_module, *given):
        if not trainer.sanity_checking:
            flat = nn.utils.parameters_to_vector(pl_module.network.parameters())
            self.rows.append((trainer.global_step, flat.detach().clone()))


def validated(package, make=OPTIMIZERS["sgd"]):
    module = module_of(package, make)
    kind = type(module)
    kind.validation_step = lambda self, batch, index: None
    return module


def weights(module):
    return nn.utils.parameters_to_vector(module.network.parameters()).detach()


def test_averaged_weights_are_validated_saved_and_left(tmp_path):
    package, seen = PACKAGES[0], Seen()
    module = validated(package)
    checkpoints = importlib.import_module(f"{package}.callbacks").ModelCheckpoint(
        tmp_path, filename="{step}", every_n_epochs=1, save_top_k=-1
    )
    trainer = trainer_of(
        package,
        [checkpoints, seen, ScheduleCallback(AVERAGED)],
        tmp_path,
        enable_checkpointing=True,
    )
    trainer.fit(module, batches(), batches())
    visited, mean = averaged_loop()
    assert [step for step, _ in seen.rows[::BATCHES]] == [BATCHES, 2 * BATCHES]
    for step, flat in seen.rows:
        torch.testing.assert_close(flat, mean(step), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights(module), mean(2 * BATCHES), rtol=1e-5, atol=1e-6)

    saved = torch.load(tmp_path / f"step={BATCHES}.ckpt", weights_only=False)
    loaded = module_of(package)
    loaded.load_state_dict(saved["state_dict"])
    torch.testing.assert_close(weights(loaded), mean(BATCHES), rtol=1e-5, atol=1e-6)
    loaded.load_state_dict(saved["trained_state_dict"])
    torch.testing.assert_close(weights(loaded), visited[BATCHES - 1], rtol=1e-5, atol=1e-6)

    again = validated(package)
    trainer = trainer_of(package, [ScheduleCallback(AVERAGED)], tmp_path)
    trainer.fit(again, batches(), batches(), ckpt_path=tmp_path / f"step={BATCHES}.ckpt")
    assert_same_weights(again.network, module.network)


def test_a_schedule_free_optimizer_is_put_into_evaluation(tmp_path):
    package, seen = PACKAGES[0], Seen()
    module, kept = None, []

    def make(parameters):
        kept.append(ng.TorchScheduleFreeSGD(parameters, lr=0.1))
        return kept[0]

    module = validated(package, make)
    trainer = trainer_of(
        package, [seen, ScheduleCallback(ng.Schedule.of(learning_rate=0.1))], tmp_path
    )
    trainer.fit(module, batches(), batches())
    optimizer = kept[0]
    found = torch.cat([optimizer.state[p]["x"].reshape(-1) for p in module.network.parameters()])
    assert torch.equal(weights(module), found) and torch.equal(seen.rows[-1][1], found)
    assert not torch.equal(seen.rows[0][1], found)


def test_a_run_begun_without_the_callback_is_joined_at_its_step(tmp_path):
    package = PACKAGES[0]
    trainer = trainer_of(package, [], tmp_path, max_epochs=1)
    trainer.fit(module_of(package, OPTIMIZERS["adamw"]), batches())
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    module = module_of(package, OPTIMIZERS["adamw"])
    trainer = trainer_of(package, [ScheduleCallback(SCHEDULE)], tmp_path)
    trainer.fit(module, batches(), ckpt_path=tmp_path / "half.ckpt")
    assert [groups[0] for groups in module.seen] == expected(12, BATCHES)


def test_another_length_at_a_resumption_is_told(tmp_path):
    package = PACKAGES[0]
    trainer = trainer_of(package, [ScheduleCallback(SCHEDULE)], tmp_path, max_epochs=1)
    trainer.fit(module_of(package), batches())
    trainer.save_checkpoint(tmp_path / "short.ckpt")
    module = module_of(package)
    trainer = trainer_of(package, [ScheduleCallback(SCHEDULE)], tmp_path, max_epochs=3)
    with pytest.warns(UserWarning, match=r"was to have 6 steps and now has 18.*jump"):
        trainer.fit(module, batches(), ckpt_path=tmp_path / "short.ckpt")
    assert [groups[0] for groups in module.seen] == expected(18, 6)


def groups_apart(module, decay):
    weights = [p for p in module.parameters() if p.dim() > 1]
    vectors = [p for p in module.parameters() if p.dim() < 2]
    return [{"params": weights, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


@pytest.mark.parametrize(("decay", "keeps_zero"), [(0.1, True), (0.0, False)])
def test_groups_set_apart_by_a_weight_decay_of_zero_keep_it(decay, keeps_zero, tmp_path):
    seen = []

    def configure(module):
        optimizer = torch.optim.AdamW(groups_apart(module, decay), lr=0.1)
        spy(optimizer, seen)
        return optimizer

    module = module_of(PACKAGES[0], configure=configure)
    trainer_of(PACKAGES[0], [ScheduleCallback(SCHEDULE)], tmp_path).fit(module, batches())
    assert [groups[0] for groups in seen] == expected(12)
    wanted = [(*row[:2], 0.0 if keeps_zero else row[2]) for row in expected(12)]
    assert [groups[1] for groups in seen] == wanted


def fine_tuned(package, seen):
    """Whose network joins the optimizer of its head later, by a callback."""

    class Module(importlib.import_module(package).LightningModule):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = network(), nn.Linear(1, 1)

        def training_step(self, batch, index):
            return functional.mse_loss(self.head(self.backbone(batch[0])), batch[1])

        def on_before_optimizer_step(self, optimizer):
            seen.append([group["lr"] for group in optimizer.param_groups])

        def configure_optimizers(self):
            return torch.optim.SGD(self.head.parameters(), lr=0.1)

    return Module()


@pytest.mark.parametrize("saved_at", [None, 3 * BATCHES, 4 * BATCHES])
@pytest.mark.parametrize("package", PACKAGES)
def test_a_group_that_a_callback_adds_keeps_its_ratio(package, saved_at, tmp_path):
    kinds = importlib.import_module(f"{package}.callbacks")

    def fit(seen, **begin):
        callbacks = [
            kinds.BackboneFinetuning(2, lambda epoch: 1.5, backbone_initial_ratio_lr=0.1),
            ScheduleCallback(ng.Schedule.of(learning_rate=[0.04, 0.02])),
            kinds.ModelCheckpoint(
                tmp_path, filename="{step}", every_n_train_steps=saved_at or 99, save_top_k=-1
            ),
        ]
        trainer = trainer_of(package, callbacks, tmp_path, max_epochs=5, enable_checkpointing=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer.fit(fine_tuned(package, seen), batches(), **begin)
        return [str(each.message) for each in caught if "schedule had set" in str(each.message)]

    seen, steps = [], 5 * BATCHES
    told = fit(seen)
    # The callback raises the rate of its group from then on, from epoch to epoch.
    assert len(told) == 1 and "group 1 is 0.006, where the schedule had set 0.002" in told[0]
    common = [0.04] * (steps // 2) + [0.02] * (steps // 2)
    expected = [
        [rate] if step < 2 * BATCHES else pytest.approx([rate, rate / 10])
        for step, rate in enumerate(common)
    ]
    assert seen == expected
    if saved_at:
        again = []
        fit(again, ckpt_path=tmp_path / f"step={saved_at}.ckpt")
        assert again == expected[saved_at:]


@pytest.mark.parametrize(("groups", "part"), [("scale", 0.1), ("same", 1.0)])
def test_groups_with_rates_of_their_own(groups, part, tmp_path):
    seen = []

    def configure(module):
        pair = [{"params": layer.parameters()} for layer in module.network[::2]]
        optimizer = torch.optim.SGD([{**pair[0], "lr": 0.01}, pair[1]], lr=0.1)
        spy(optimizer, seen)
        return optimizer

    module = module_of(PACKAGES[0], configure=configure)
    callback = ScheduleCallback(SCHEDULE, groups=groups)
    trainer_of(PACKAGES[0], [callback], tmp_path).fit(module, batches())
    assert [rows[1] for rows in seen] == expected(12)
    assert [rows[0][0] for rows in seen] == pytest.approx([row[0] * part for row in expected(12)])


def by_hand(package, seen):
    """Two optimizers stepped by hand; the first one twice per batch."""

    class Module(importlib.import_module(package).LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.network = network()

        def configure_optimizers(self):
            pair = [torch.optim.SGD(layer.parameters(), lr=7.0) for layer in self.network[::2]]
            for optimizer, rows in zip(pair, seen, strict=True):
                spy(optimizer, rows)
            return pair

        def training_step(self, batch, index):
            for optimizer, times in zip(self.optimizers(), (2, 1), strict=True):
                for _ in range(times):
                    optimizer.zero_grad()
                    self.manual_backward(
                        functional.mse_loss(self.network(batch[0]), batch[1]) * 1e-3
                    )
                    optimizer.step()

    return Module()


def test_several_optimizers_each_count_their_own_steps(tmp_path):
    package, seen = PACKAGES[0], ([], [])
    callbacks = [
        ScheduleCallback(SCHEDULE, total_steps=24, optimizer_index=0),
        ScheduleCallback(SCHEDULE, total_steps=12, optimizer_index=1),
    ]
    trainer_of(package, callbacks, tmp_path).fit(by_hand(package, seen), batches())
    assert [groups[0] for groups in seen[0]] == expected(24)
    assert [groups[0] for groups in seen[1]] == expected(12)


def two(module):
    return [torch.optim.SGD(module.network.parameters(), lr=0.1) for _ in range(2)]


def with_scheduler(module):
    optimizer = torch.optim.SGD(module.network.parameters(), lr=0.1)
    return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 3)]


@pytest.mark.parametrize(
    ("configure", "callback", "trainer", "words"),
    [
        (two, {}, {}, r"2 optimizers, \['SGD', 'SGD'\].*optimizer_index=0"),
        (two, {"optimizer_index": 2}, {}, r"optimizer_index=2.*from 0 to 1"),
        (None, {"optimizer_index": -1}, {}, r"optimizer_index=-1.*from 0 to 0"),
        (with_scheduler, {}, {}, r"also returns a StepLR.*leave out ScheduleCallback"),
        (None, {}, {"max_epochs": -1}, r"inf steps.*total_steps="),
        (None, {"total_steps": 0}, {}, r"`total_steps`.*0"),
        (lambda module: torch.optim.Rprop(module.parameters()), {}, {}, r"'momentum'.*Rprop"),
        (lambda module: [], {}, {}, "no optimizer"),
    ],
    ids=["several", "index", "negative", "scheduler", "endless", "no steps", "lacks", "none"],
)
def test_what_is_refused(configure, callback, trainer, words, tmp_path):
    module = module_of(PACKAGES[0], configure=configure)
    if configure is two:
        module.automatic_optimization = False
    started = trainer_of(PACKAGES[0], [ScheduleCallback(SCHEDULE, **callback)], tmp_path, **trainer)
    with pytest.raises(ValueError, match=words):
        started.fit(module, batches())


def test_steps_by_hand_need_a_length(tmp_path):
    callback = ScheduleCallback(SCHEDULE, optimizer_index=1)
    with pytest.raises(ValueError, match=r"by hand.*total_steps="):
        trainer_of(PACKAGES[0], [callback], tmp_path).fit(by_hand(PACKAGES[0], ([], [])), batches())


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (0.1, TypeError, r"Schedule.*path.*got 0\.1"),
        ("no such file.json", FileNotFoundError, "no such file"),
    ],
)
def test_what_is_no_schedule(given, error, words):
    with pytest.raises(error, match=words):
        ScheduleCallback(given)


def test_after_a_fit_the_optimizer_is_left_alone(tmp_path):
    kept = []

    def configure(module):
        kept.append(torch.optim.SGD(module.parameters(), lr=0.1))
        return kept[-1]

    module = module_of(PACKAGES[0], configure=configure)
    trainer_of(PACKAGES[0], [ScheduleCallback(SCHEDULE)], tmp_path).fit(module, batches())
    group = kept[0].param_groups[0]
    assert seen_by(group) == expected(12)[-1]
    group["lr"] = 0.123
    kept[0].step()
    assert group["lr"] == 0.123


def test_a_task_of_the_library_is_trained_as_by_retrain(tmp_path):
    """What `retrain` says of a schedule is what a user of Lightning gets, on the same batches."""
    inputs = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    targets = inputs.sum(1, keepdim=True)
    task = ng.Task(
        network, functional.mse_loss, (inputs, targets), (inputs, targets), batch_size=24
    )
    judged = ng.retrain(task, SCHEDULE, steps=10, seed=0)

    module = module_of(PACKAGES[0])
    module.network.load_state_dict(
        ng.retrain(task, ng.Schedule.of(learning_rate=0.0), steps=1).model.state_dict()
    )
    one = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, targets), batch_size=24
    )
    trainer_of(PACKAGES[0], [ScheduleCallback(SCHEDULE)], tmp_path, max_epochs=10).fit(module, one)
    loss = functional.mse_loss(module.network(inputs), targets).item()
    assert loss == pytest.approx(judged.validation_loss, rel=1e-5)


def test_examples_in_docstrings_run():
    assert doctest.testmod(lightning).failed == 0
