"""The same small task by hand, from loaders, from a LightningModule and from a Hugging Face Trainer."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import nongreedy as ng

from .road_cases import (
    BATCH,
    CLASSES,
    JUDGED,
    KINDS,
    STEPS,
    TRAIN,
    VALIDATION,
    WORDS,
    bert,
    lightning,
    loaders,
    model_of,
    padded,
    trainer_of,
    transformers,
)

# Trainers pin memory without an accelerator, advise on workers, and use deprecated parts of neighbours.
pytestmark = pytest.mark.filterwarnings("ignore")


class Classifier(lightning.LightningModule):
    """As most are written: logs, and reads what its trainer says of where training is."""

    def __init__(self, model=None):
        super().__init__()
        self.model = model or bert()

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    def _loss(self, batch):
        logits = self(batch["input_ids"], batch["attention_mask"])
        return functional.cross_entropy(logits, batch["labels"]), logits

    def training_step(self, batch, batch_idx):
        loss, _ = self._loss(batch)
        self.log("train_loss", loss, prog_bar=True)
        self.logger.experiment.add_scalar("loss", loss, self.global_step)
        return {"loss": loss, "epoch": self.current_epoch}

    def validation_step(self, batch, batch_idx):
        loss, logits = self._loss(batch)
        right = (logits.argmax(1) == batch["labels"]).float().mean()
        self.log_dict({"val_loss": loss, "val_accuracy": right})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(lightning.LightningDataModule):
    def setup(self, stage):
        self.pair = loaders()

    def train_dataloader(self):
        return self.pair[0]

    def val_dataloader(self):
        return self.pair[1]


def from_lightning(directory, **changed):
    return ng.Task.from_lightning(Classifier(), Data(), **changed)


ROADS = {
    "own loss": lambda _: ng.Task(bert(), None, TRAIN, VALIDATION, batch_size=BATCH, collate_fn=padded),
    "loaders": lambda _: ng.Task.from_loader(
        bert(), lambda output, target: functional.cross_entropy(output.logits, target), *loaders()
    ),
    "loaders, own loss": lambda _: ng.Task.from_loader(bert(), None, *loaders()),
    "lightning": from_lightning,
    "trainer": lambda directory: ng.Task.from_trainer(trainer_of(directory)),
}  # fmt: skip
OPTIMIZER = ng.Grouped(
    ng.AdamW(
        ng.Windows(2, initial=(0.01, 0.02)), beta1=ng.Windows(1, initial=0.5),
        weight_decay=ng.Windows(1, initial=0.1), clip_norm=1.0,
    ),
    {"vectors": {"weight_decay": 0.0}},
)  # fmt: skip


def hypergradient(task, optimizer=OPTIMIZER, **settings):
    return ng.hypergradient(task, optimizer, steps=STEPS, dtype=torch.float64, **settings)


@pytest.fixture(scope="module")
def by_hand():
    def loss(output, target):
        return functional.cross_entropy(output.logits, target)

    return hypergradient(
        ng.Task(bert(), loss, TRAIN, VALIDATION, batch_size=BATCH, collate_fn=padded)
    )


@pytest.mark.parametrize("road", ROADS)
def test_every_road_leads_to_the_same_hypergradient(road, by_hand, tmp_path):
    found = hypergradient(ROADS[road](tmp_path))
    assert found.value == pytest.approx(by_hand.value, rel=1e-12)
    for name, expected in by_hand.gradients.items():
        torch.testing.assert_close(found.gradients[name], expected, rtol=1e-6, atol=1e-10)
        assert (expected.abs() > 1e-4).all()
    assert found.accuracy == by_hand.accuracy


# ---- The user's own trainers -------------------------------------------------------------------

SMOOTHED = {"label_smoothing_factor": 0.1}
TRAINERS = {
    "as it is": ({}, {}),
    "accumulated": ({"gradient_accumulation_steps": 3}, {}),
    "smoothed": (SMOOTHED, {}),
    "accumulated, smoothed": ({"gradient_accumulation_steps": 2, **SMOOTHED}, {}),
    "own function": (
        {"gradient_accumulation_steps": 2},
        {"compute_loss_func": lambda output, labels, num_items_in_batch: functional.cross_entropy(
            output.logits.flatten(0, -2), labels.flatten(), reduction="sum") / (num_items_in_batch or
            (labels != -100).sum())},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", TRAINERS)
def test_a_plain_run_is_that_of_the_trainer(case, kind, tmp_path):
    (settings, given), (model, data) = TRAINERS[case], KINDS[kind]
    trainer = trainer_of(
        tmp_path, model_of(model), data, given, max_steps=4, learning_rate=0.02, weight_decay=0.1,
        lr_scheduler_type="constant", train_sampling_strategy="sequential", optim="adamw_torch",
        logging_steps=1, **settings,
    )  # fmt: skip
    task = ng.Task.from_trainer(trainer)
    assert task.batch_size == BATCH and task.evaluation_batch_size == JUDGED
    optimizer = ng.optimizer_of(trainer.create_optimizer(), trainer.model, clip_norm=1.0)
    values = {name: float(row.initial) for name, row in optimizer.hyperparameters().items()}
    assert values["weight_decay"] == 0.1 and values["weight_decay[vectors]"] == 0.0
    ours = ng.retrain(task, ng.Schedule.of(**values), steps=4, optimizer=optimizer)
    trainer.train()
    pairs = zip(ours.model.named_parameters(), trainer.model.named_parameters(), strict=True)
    for (name, mine), (twin, theirs) in pairs:
        assert name == twin
        if "key.bias" not in name:  # whose gradient is rounding, of which AdamW makes whole steps
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=2e-5)
    whole = padded([data[1][index] for index in range(len(data[1]))])
    expected = float(trainer.compute_loss(trainer.model.eval(), whole))
    assert ours.validation_loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_smoothed_loss_is_that_of_the_whole_set_whatever_the_slices(kind, tmp_path):
    data, values = KINDS[kind][1], []
    for judged in (5, 13):
        settings = {**SMOOTHED, "per_device_eval_batch_size": judged}
        task = ng.Task.from_trainer(
            trainer_of(tmp_path, model_of(KINDS[kind][0]), data, **settings)
        )
        values.append(ng.retrain(task, ng.Schedule.of(learning_rate=0.1), steps=6).validation_loss)
    assert values[0] == pytest.approx(values[1], rel=1e-5)


PARTS = 3


def loss_by_training_step(trainer, task, data, rates):
    """The final validation loss of a loop around Trainer's own `training_step`, which accumulates."""
    model, size = copy.deepcopy(trainer.model).double(), BATCH // PARTS
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    trainer.current_gradient_accumulation_steps = PARTS
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rates[step * len(rates) // STEPS]
        rows = [data[0][index] for index in task.plan.index(0, step).tolist()]
        cuts = range(0, BATCH, size)
        device = torch.device("cpu")
        parts = iter([padded(rows[low : low + size]) for low in cuts])
        batches, items = trainer.get_batch_samples(parts, PARTS, device)
        for batch in batches:
            trainer.training_step(model, batch, items)
        optimizer.step()
        optimizer.zero_grad()
    whole = padded([data[1][index] for index in range(len(data[1]))])
    return trainer.compute_loss(model.eval(), whole).item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["as it is", "smoothed", "own function"])
def test_accumulation_has_the_derivative_of_a_plain_loop_that_accumulates(case, kind, tmp_path):
    (settings, given), data = TRAINERS[case], KINDS[kind][1]
    settings = {**settings, "gradient_accumulation_steps": PARTS, "per_device_eval_batch_size": 13}
    trainer = trainer_of(tmp_path, model_of(KINDS[kind][0]), data, given, **settings)
    task, rates = ng.Task.from_trainer(trainer), (0.05, 0.03)
    assert task.accumulate == PARTS
    optimizer = ng.SGD(ng.Windows(2, initial=rates), momentum=0.5)
    # Causal language models and label smoothing of this package compute in float32, whatever weights are in.
    coarse = case == "smoothed" or (case, kind) == ("as it is", "next words")
    width, tolerance = (3e-3, 1e-4) if coarse else (1e-4, 1e-6)
    found = hypergradient(task, optimizer)
    at_once = hypergradient(ng.Task.from_trainer(trainer, accumulate=1), optimizer)
    rows = found.gradients["learning_rate"]
    torch.testing.assert_close(rows, at_once.gradients["learning_rate"], rtol=1e-8, atol=0)
    for index, row in enumerate(rows.tolist()):
        ends = []
        for by in (width, -width, 2 * width, -2 * width):
            moved = [rate + by * (k == index) for k, rate in enumerate(rates)]
            ends.append(loss_by_training_step(trainer, task, data, moved))
        slope = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12 * width)
        assert row == pytest.approx(slope, rel=tolerance)


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(WORDS, 4), nn.BatchNorm1d(4)
        self.last = nn.Linear(4, CLASSES)

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.last(self.norm(self.words(input_ids).mean(1)))
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def test_what_cannot_be_split_is_one_graph_of_the_trainers_micro_batches(tmp_path):
    torch.manual_seed(0)
    settings = {"gradient_accumulation_steps": 2}
    normalized = ng.Task.from_trainer(trainer_of(tmp_path, Normalized(), **settings))
    assert normalized.accumulate == 1 and normalized.batch_size == BATCH
    assert hypergradient(normalized, ng.SGD(0.1, ng.Windows(1, initial=0.5))).value > 0
    trainer = trainer_of(tmp_path, **settings)
    assert ng.Task.from_trainer(trainer, batch_size=4).accumulate == 1  # 3 and 1
    uneven = ng.Task.from_trainer(trainer, batch_size=12, accumulate=3)  # of four micro-batches
    with pytest.raises(ValueError, match="Let accumulate be 4, or a number that divides it"):
        hypergradient(uneven)


def test_lightnings_accumulation_is_a_larger_batch_in_parts(tmp_path):
    pair = [DataLoader(data, BATCH // 2, collate_fn=padded) for data in (TRAIN, VALIDATION)]
    given = dict(zip(("train_dataloaders", "val_dataloaders"), pair, strict=True))
    module = Classifier()
    task = ng.Task.from_lightning(module, **given, batch_size=BATCH, accumulate=2)
    ours = ng.retrain(task, ng.Schedule.of(learning_rate=0.1), steps=4)
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=4, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        num_sanity_val_steps=0, accumulate_grad_batches=2,
    )  # fmt: skip
    module.training_step = lambda batch, batch_idx: module._loss(batch)[0]  # there is no logger
    trainer.fit(module, **given)
    for mine, theirs in zip(ours.model.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_plain_run_is_that_of_lightning(tmp_path):
    pair = [DataLoader(data, BATCH, collate_fn=padded) for data in (TRAIN, VALIDATION)]
    given = dict(zip(("train_dataloaders", "val_dataloaders"), pair, strict=True))
    module = Classifier()
    task = ng.Task.from_lightning(module, **given)
    ours = ng.retrain(task, ng.Schedule.of(learning_rate=0.1), steps=4)
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=4, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        num_sanity_val_steps=0,
    )  # fmt: skip
    module.training_step = lambda batch, batch_idx: module._loss(batch)[0]  # there is no logger
    trainer.fit(module, **given)
    for mine, theirs in zip(ours.model.parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    assert ours.validation_loss == pytest.approx(
        float(trainer.callback_metrics["val_loss"]), rel=1e-5
    )


def test_steps_know_where_training_is():
    seen = []

    class Module(Classifier):
        def training_step(self, batch, index):
            seen.append((self.trainer.global_step, self.current_epoch, index))
            return self._loss(batch)[0]

    ng.retrain(ng.Task.from_lightning(Module(), Data()), ng.Schedule.of(learning_rate=0.1), steps=6)
    assert seen == [(step, step // 4, step % 4) for step in range(6)]


# ---- What is refused ---------------------------------------------------------------------------


class Stream(IterableDataset):
    def __iter__(self):
        yield from TRAIN


def module_with(**functions):
    return type("Module", (Classifier,), functions)()


def manual():
    module = Classifier()
    module.automatic_optimization = False
    return module


def logging(**logged):
    def validation_step(self, batch, batch_idx):
        loss, _ = self._loss(batch)
        self.log_dict({name: loss if value is None else value for name, value in logged.items()})

    return module_with(validation_step=validation_step)


STREAM = DataLoader(Stream(), BATCH, collate_fn=padded)
LIGHTNING = {
    "manual": (manual, {}, ValueError, "automatic_optimization=False.*return the loss"),
    "hook": (lambda: module_with(on_after_batch_transfer=lambda self, batch, i: batch), {},
             ValueError, "`on_after_batch_transfer` of its own. Do it in"),
    "clipping": (lambda: module_with(configure_gradient_clipping=lambda *a: None), {},
                 ValueError, "`configure_gradient_clipping` of its own.*clip_norm="),
    "no module": (lambda: nn.Linear(2, 2), {}, TypeError, "LightningModule, but got Linear"),
    "no loss": (lambda: module_with(training_step=lambda self, batch: None), {},
                ValueError, "returned nothing. Return the loss"),
    "iterator": (lambda: module_with(training_step=lambda self, dataloader_iter: None), {},
                 ValueError, r"dataloader_iter`. Let it take \(batch, batch_idx\)"),
    "numbers": (lambda: logging(val_loss=0.5), {}, ValueError,
                r"logged {'val_loss': float}.*monitor="),
    "two": (lambda: logging(loss_a=None, loss_b=None), {}, ValueError, 'monitor="val_loss"'),
    "not logged": (Classifier, {"monitor": "val_los"}, ValueError, "monitor='val_los'"),
    "epoch": (lambda: module_with(validation_step=lambda self, batch: self.current_epoch), {},
              ValueError, "`validation_step` asks the trainer for 'current_epoch'"),
    "max epochs": (lambda: module_with(training_step=lambda self, batch: self.trainer.max_epochs), {},
                   ValueError, "`training_step` asks the trainer for 'max_epochs'"),
    "several": (Classifier, {"val_dataloaders": [1, 2]}, ng.DataError, "one torch DataLoader, but got list"),
    "stream": (Classifier, {"train_dataloaders": STREAM}, ng.DataError, "is a stream"),
    "setting": (Classifier, {"loss": None}, TypeError, "from_lightning takes no 'loss'"),
}  # fmt: skip


@pytest.mark.parametrize("case", LIGHTNING)
def test_what_is_refused_of_lightning(case):
    make, settings, kind, words = LIGHTNING[case]
    with pytest.raises(kind, match=words):
        hypergradient(ng.Task.from_lightning(make(), Data(), **settings))


def test_data_modules_without_validation_data_are_refused():
    class Lacking(lightning.LightningDataModule):
        def train_dataloader(self):
            return loaders()[0]

    with pytest.raises(
        ng.DataError, match=r"Lacking has no `val_dataloader`.*val_dataloaders=loader"
    ):
        ng.Task.from_lightning(Classifier(), Lacking())


def test_hooks_that_are_not_called_are_told():
    with pytest.warns(UserWarning, match="`on_train_epoch_start` of Module is not called"):
        ng.Task.from_lightning(module_with(on_train_epoch_start=lambda self: None), Data())


def test_without_a_validation_step_the_training_step_judges(by_hand):
    module = module_with(
        training_step=lambda self, batch: self._loss(batch)[0],
        validation_step=lightning.LightningModule.validation_step,
    )
    assert hypergradient(ng.Task.from_lightning(module, Data())).value == pytest.approx(
        by_hand.value
    )


def test_monitor_says_which_of_several_losses_judges(by_hand):
    task = ng.Task.from_lightning(logging(loss_a=None, loss_b=0.5), Data(), monitor="loss_a")
    assert hypergradient(task).value == pytest.approx(by_hand.value)


TRAINER = {
    "bf16": ({"bf16": True}, {}, ValueError, "bf16=True. Set it to False"),
    "noise": ({"neftune_noise_alpha": 0.1}, {}, ValueError, "neftune_noise_alpha=0.1. Leave it out"),
    "no judge": ({}, {"data": (TRAIN, None)}, ng.DataError, "no eval_dataset.*eval_dataset=data"),
    "several": ({}, {"data": (TRAIN, {"a": TRAIN, "b": VALIDATION})}, ng.DataError, "'a', 'b'"),
    "by length": ({"train_sampling_strategy": "group_by_length"}, {}, TypeError, "LengthGroupedSampler"),
    "stream": ({"max_steps": 4}, {"data": (Stream(), VALIDATION)}, ng.DataError, "is a stream"),
    "larger": ({"gradient_accumulation_steps": 6, "per_device_train_batch_size": 6}, {}, ng.DataError,
               "batch_size=36"),
}  # fmt: skip


@pytest.mark.parametrize("case", TRAINER)
def test_what_is_refused_of_a_trainer(case, tmp_path):
    settings, given, kind, words = TRAINER[case]
    with pytest.raises(kind, match=words):
        ng.Task.from_trainer(trainer_of(tmp_path, **settings, **given))


def computing(compute_loss):
    return type("Mine", (transformers.Trainer,), {"compute_loss": compute_loss})


def test_a_trainer_of_ones_own_computes_the_loss(tmp_path):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        return 2 * functional.cross_entropy(model(**inputs).logits, labels)

    task = ng.Task.from_trainer(trainer_of(tmp_path, kind=computing(compute_loss)))
    plain = ng.Task.from_trainer(trainer_of(tmp_path))
    found, expected = (
        ng.retrain(each, ng.Schedule.of(learning_rate=0.0), steps=1) for each in (task, plain)
    )
    assert found.validation_loss == pytest.approx(2 * expected.validation_loss)
    assert found.validation_accuracy == expected.validation_accuracy


@pytest.mark.parametrize(
    ("compute_loss", "kind", "words"),
    [
        (lambda self, model, inputs, **_: self.model(**inputs).loss, ValueError,
         "does not depend on any parameter.*`self.model` of a trainer"),
        (lambda self, model, inputs, return_outputs: model(**inputs).loss, TypeError,
         "unexpected keyword argument 'num_items_in_batch'"),
    ],
)  # fmt: skip
def test_trainers_that_compute_something_else_are_told(compute_loss, kind, words, tmp_path):
    task = ng.Task.from_trainer(trainer_of(tmp_path, kind=computing(compute_loss)))
    with pytest.raises(kind, match=words):
        hypergradient(task)


def test_other_things_than_trainers_and_foreign_settings_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"transformers.Trainer.*got Linear.*ng.Task\("):
        ng.Task.from_trainer(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"from_trainer takes no 'batchsize'.*'batch_size'"):
        ng.Task.from_trainer(trainer_of(tmp_path), batchsize=3)


def test_what_is_refused_of_loaders_and_own_losses():
    pairs = TensorDataset(torch.randn(8, 4), torch.randint(2, (8,)))
    with pytest.raises(
        ng.DataError, match="`train_loader` must be a DataLoader, but got TensorDataset"
    ):
        ng.Task.from_loader(bert(), None, pairs, loaders()[1])
    with pytest.raises(ng.DataError, match="is a stream"):
        ng.Task.from_loader(bert(), None, STREAM, loaders()[1])
    with pytest.raises(ng.DataError, match=r"loss=None has the model compute its loss.*`labels`"):
        ng.Task(nn.Linear(4, 2), None, pairs, 0.5, batch_size=2)

    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x, labels):
            return {"scores": self.layer(x)}

    data = {"x": torch.randn(8, 4), "labels": torch.randint(2, (8,))}
    with pytest.raises(ValueError, match=r'dict, holds scores. Return it as "loss"'):
        hypergradient(ng.Task(Silent(), None, data, 0.5, batch_size=2), ng.SGD())
