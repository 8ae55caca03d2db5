"""A tiny BERT and sentences for it, which several tests of other trainers' tasks share."""

import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from .extras import needs

needs("transformers", "accelerate", "lightning")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the packages' own imports
    import lightning as lightning
    import transformers

STEPS, BATCH, JUDGED, CLASSES, WORDS = 6, 6, 5, 3, 20
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def config(**changed):
    return transformers.BertConfig(
        vocab_size=WORDS, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16, num_labels=CLASSES,
        **{**NO_DROPOUT, **changed},
    )  # fmt: skip


def bert(kind="SequenceClassification", **changed):
    torch.manual_seed(0)
    model = getattr(transformers, f"BertFor{kind}")(config(**changed))
    for parameter in model.parameters():  # at their initial size attention hardly does anything
        nn.init.normal_(parameter, std=0.3)
    return model


class Sentences(Dataset):
    """Of several lengths; the class of each, or of each of its words."""

    def __init__(self, count, seed, of_words=False):
        drawn = torch.Generator().manual_seed(seed)
        lengths = torch.randint(3, 8, (count,), generator=drawn).tolist()
        self.rows = [torch.randint(1, WORDS, (length,), generator=drawn) for length in lengths]
        self.of_words = of_words

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        if not self.of_words:
            return {"input_ids": row, "labels": int(row.sum()) % CLASSES}
        return {"input_ids": row, "labels": torch.where(row % 4 == 0, -100, row % CLASSES)}


def padded(items):
    pad = nn.utils.rnn.pad_sequence
    ids = pad([item["input_ids"] for item in items], batch_first=True)
    labels = [item["labels"] for item in items]
    of_words = isinstance(labels[0], torch.Tensor)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "labels": pad(labels, True, -100) if of_words else torch.tensor(labels),
    }


TRAIN, VALIDATION = Sentences(24, 0), Sentences(13, 1)
WORDS_TRAIN, WORDS_VALIDATION = Sentences(24, 2, True), Sentences(13, 3, True)


def loaders(train=TRAIN, validation=VALIDATION, **settings):
    settings = {"collate_fn": padded, **settings}
    return DataLoader(train, BATCH, shuffle=True, **settings), DataLoader(
        validation, JUDGED, **settings
    )


def trainer_of(directory, model=None, data=(TRAIN, VALIDATION), given=None, kind=None, **settings):
    accumulate = settings.get("gradient_accumulation_steps", 1)
    settings = {
        "per_device_train_batch_size": BATCH // accumulate, "per_device_eval_batch_size": JUDGED,
        "report_to": [], "disable_tqdm": True, "use_cpu": True, "save_strategy": "no", **settings,
    }  # fmt: skip
    arguments = transformers.TrainingArguments(str(directory), **settings)
    return (kind or transformers.Trainer)(
        model or bert(), arguments, data_collator=padded, train_dataset=data[0], eval_dataset=data[1],
        **(given or {}),
    )  # fmt: skip


KINDS = {
    "sentences": ("SequenceClassification", (TRAIN, VALIDATION)),
    "words": ("TokenClassification", (WORDS_TRAIN, WORDS_VALIDATION)),
    "next words": ("LMHeadModel", (WORDS_TRAIN, WORDS_VALIDATION)),
}


def model_of(kind):
    if kind == "LMHeadModel":
        torch.manual_seed(0)
        return transformers.BertLMHeadModel(config(is_decoder=True))
    return bert(kind)
