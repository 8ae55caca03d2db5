"""Gradients where there are none: estimates from rewards alone, as sources of gradients."""

from ...schedules._export import export
from ._box import CommonPairs
from ._estimator import Estimator, FromRewards
from ._gaussian import OnePoint, TwoPoint
from ._linear import GaussianDirections, Sphere
from ._tangent import Orthonormal, TangentSphere, riesz

__all__ = [
    "CommonPairs", "Estimator", "FromRewards", "GaussianDirections", "OnePoint", "Orthonormal",
    "Sphere", "TangentSphere", "TwoPoint", "riesz",
]  # fmt: skip

export(globals())
