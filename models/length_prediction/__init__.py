"""Predictors of output lengths: models of their error, as published systems have it."""

from models.length_prediction.binned import Binned
from models.length_prediction.exact import Exact
from models.length_prediction.exponential import Exponential
from models.length_prediction.from_file import FromFile
from models.length_prediction.noisy import Noisy
from models.length_prediction.prompt_classifier import PromptClassifier
from models.length_prediction.refined_classifier import RefinedClassifier

__all__ = [
    "Binned",
    "Exact",
    "Exponential",
    "FromFile",
    "Noisy",
    "PromptClassifier",
    "RefinedClassifier",
]
