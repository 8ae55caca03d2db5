"""Models that compute their loss themselves, and of which parts alone are trained: Hugging Face's, peft's."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .road_cases import BATCH, KINDS, STEPS, bert, model_of, padded, trainer_of

pytestmark = pytest.mark.filterwarnings("ignore")


def hypergradient(task, optimizer, **settings):
    return ng.hypergradient(task, optimizer, steps=STEPS, dtype=torch.float64, **settings)


# ---- What models compute themselves ------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 5, 13])
@pytest.mark.parametrize("kind", KINDS)
def test_own_losses_and_accuracies_are_those_of_the_whole_set(kind, size, tmp_path):
    name, data = KINDS[kind]
    model = model_of(name)
    settings = {"batch_size": BATCH, "collate_fn": padded, "evaluation_batch_size": size}
    task = ng.Task(model, None, *data, **settings)
    found = ng.retrain(task, ng.Schedule.of(learning_rate=0.0), steps=1)
    whole = padded([data[1][index] for index in range(13)])
    with torch.no_grad():
        output = model.eval()(**whole)
    logits, labels = output.logits, whole["labels"]
    if kind == "next words":
        logits, labels = logits[:, :-1], labels[:, 1:]
    counted = labels != -100
    right = (logits.argmax(-1) == labels)[counted].float().mean()
    assert found.validation_loss == pytest.approx(float(output.loss), rel=1e-5)
    assert found.validation_accuracy == pytest.approx(float(right))


class OfFour(nn.Module):
    """Two scores of four numbers."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.layer = nn.Linear(4, 2)


def test_own_losses_read_tensors_in_memory_and_dictionaries():
    class Named(OfFour):
        def forward(self, inputs, labels):
            logits = self.layer(inputs)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    drawn = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    data = {"inputs": drawn, "label": (drawn[:, 0] > 0).long()}
    task = ng.Task(Named(), None, data, {**data}, batch_size=5)
    plain = ng.Task(
        Named().layer,
        functional.cross_entropy,
        tuple(data.values()),
        tuple(data.values()),
        batch_size=5,
    )
    assert task.train.is_tensors
    found, expected = (
        hypergradient(each, ng.SGD(ng.Linear(2, initial=0.1))) for each in (task, plain)
    )
    torch.testing.assert_close(
        found.gradients["learning_rate"], expected.gradients["learning_rate"]
    )
    assert found.accuracy == expected.accuracy


def test_labels_in_a_column_are_no_text():
    class Gathering(OfFour):
        """Means by no function of PyTorch's, over labels of shape (N, 1)."""

        def forward(self, inputs, labels):
            logits = self.layer(inputs)
            return {"loss": -logits.log_softmax(1).gather(1, labels).mean(), "rest": logits.T}

    drawn = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    data = {"inputs": drawn, "label": (drawn[:, :1] > 0).long()}
    values = set()
    for size in (3, 7, 20):
        task = ng.Task(Gathering(), None, data, {**data}, batch_size=5, evaluation_batch_size=size)
        values.add(round(ng.hypergradient(task, ng.SGD(), steps=4).value, 5))
    assert len(values) == 1


def test_a_loss_that_takes_no_output_of_several_parts_says_what_it_may_be():
    settings = {"batch_size": BATCH, "collate_fn": padded}
    task = ng.Task(bert(), functional.cross_entropy, *KINDS["sentences"][1], **settings)
    with pytest.raises(
        ng.DataError, match=r"SequenceClassifierOutput.*output\['logits'\].*loss=None"
    ):
        hypergradient(task, ng.SGD())


# ---- Frozen parts and adapters -----------------------------------------------------------------


@pytest.mark.parametrize(
    "engine", [ng.Reverse(), ng.Reverse("checkpoint"), ng.Forward(), ng.Reversible()], ids=repr
)
def test_frozen_parts_stay_as_they_are(engine, tmp_path):
    model = bert()
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    trainer = trainer_of(tmp_path, model)
    task = ng.Task.from_trainer(trainer)
    optimizer = ng.SGD(ng.Windows(2, initial=0.1), momentum=0.5)
    found, expected = (
        hypergradient(task, optimizer, engine=each)
        for each in (engine, ng.FiniteDifference(order=4))
    )
    torch.testing.assert_close(
        found.gradients["learning_rate"], expected.gradients["learning_rate"], rtol=1e-5, atol=1e-8
    )
    network = ng.Run(task, optimizer, STEPS).module
    assert network.start().numel() == sum(p.numel() for p in model.classifier.parameters())
    after = ng.retrain(task, ng.Schedule.of(learning_rate=0.1), steps=3).model
    for mine, theirs in zip(after.bert.parameters(), model.bert.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(after.classifier.weight, model.classifier.weight)


def test_adapters_alone_are_trained_and_their_dropout_is_replayed(tmp_path):
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(
        r=2, lora_alpha=4, lora_dropout=0.3, target_modules=["query", "value"], task_type="SEQ_CLS"
    )
    model = peft.get_peft_model(bert(), settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # at 0, as they begin, dropout would do nothing in the first step
            nn.init.normal_(parameter, std=0.3)
    task = ng.Task.from_trainer(trainer_of(tmp_path, model))
    optimizer = ng.AdamW(ng.Windows(2, initial=0.02))
    found, expected = (
        hypergradient(task, optimizer, engine=engine)
        for engine in (ng.Reverse(), ng.FiniteDifference(order=4))
    )
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name or "classifier" in name for name in trained)
    assert len(found.initial) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    torch.testing.assert_close(
        found.gradients["learning_rate"], expected.gradients["learning_rate"], rtol=1e-5, atol=1e-8
    )
    calm = copy.deepcopy(model)
    for part in calm.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    other = hypergradient(ng.Task.from_trainer(trainer_of(tmp_path, calm)), optimizer)
    assert abs(other.value - found.value) > 1e-6  # dropout does something
