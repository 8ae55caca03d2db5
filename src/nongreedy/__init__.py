"""nongreedy: gradient-based hyperparameter optimization over whole training runs."""

from . import data as data
from . import models as models
from ._basis import Constant as Constant
from ._basis import Linear as Linear
from ._basis import PerStep as PerStep
from ._basis import Windows as Windows
from ._callback import Callback as Callback
from ._engine import Engine as Engine
from ._engine import FiniteDifference as FiniteDifference
from ._engine import Forward as Forward
from ._engine import Hypergradient as Hypergradient
from ._engine import RandomDirections as RandomDirections
from ._engine import Reverse as Reverse
from ._engine import Reversible as Reversible
from ._errors import DataError as DataError
from ._errors import DivergedError as DivergedError
from ._errors import NongreedyError as NongreedyError
from ._errors import ReplayError as ReplayError
from ._errors import ScheduleFileError as ScheduleFileError
from ._optimizer import SGD as SGD
from ._optimizer import Adagrad as Adagrad
from ._optimizer import Adam as Adam
from ._optimizer import AdamW as AdamW
from ._optimizer import Lion as Lion
from ._optimizer import Muon as Muon
from ._optimizer import Optimizer as Optimizer
from ._optimizer import RMSprop as RMSprop
from ._optimizer import TorchLion as TorchLion
from ._optimizer import TorchMuon as TorchMuon
from ._outer import AgreementSearch as AgreementSearch
from ._outer import SignDescent as SignDescent
from ._result import OuterStep as OuterStep
from ._result import Result as Result
from ._result import Status as Status
from ._retrain import Retrained as Retrained
from ._retrain import retrain as retrain
from ._run import Run as Run
from ._schedule import Schedule as Schedule
from ._schedule import cosine_schedule as cosine_schedule
from ._task import Task as Task
from ._tune import hypergradient as hypergradient
from ._tune import tune as tune

__version__ = "0.1.0"
