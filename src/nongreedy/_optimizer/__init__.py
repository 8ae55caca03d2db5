"""Inner optimizers as pure updates of the flat state."""

from .adaptive import Adagrad as Adagrad
from .adaptive import Adam as Adam
from .adaptive import AdamW as AdamW
from .adaptive import RMSprop as RMSprop
from .base import Optimizer as Optimizer
from .grouped import Grouped as Grouped
from .lion import Lion as Lion
from .lion import TorchLion as TorchLion
from .muon import Muon as Muon
from .muon import TorchMuon as TorchMuon
from .sgd import SGD as SGD
