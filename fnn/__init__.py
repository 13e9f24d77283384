"""Pure functions for feed-forward neural networks in JAX, every gradient derived by hand.

The names in the order in which data flow; help(fnn.NAME) says more.

    Data                   datasets, preprocessing, audit
    Layers                 dense, conv2d, max_pool, average_pool, flatten, rescale, standardize_inputs,
                           random_shift, layer_norm, batch_norm, dropout, prelu, serial, residual, repeat,
                           mixed_precision, differentiable
    Activations            identity, sigmoid, tanh, relu, swish, gelu, softplus, softmax, leaky_relu, elu
    Losses                 softmax_cross_entropy, sigmoid_cross_entropy, mean_squared_error,
                           half_mean_squared_error, mean_absolute_error, huber, cross_entropy, binary_cross_entropy,
                           scaled, summed, smooth_labels
    Penalties              l1, l2, spectral_norm
    Starting values        initializers
    Networks               mlp, network, standardize_targets, summary
    Rules of your own      stateless, activation, no_params, recipe, Layer, Activation, Loss, Penalty, Network
    θ                      flatten_params, unflatten_params, count_params, weight_mask
    Optimizers             sgd, momentum, rmsprop, adagrad, adam, adamw, lion, muon, chain, clip_by_global_norm,
                           clip_by_value, apply_updates, Optimizer
    Schedules              constant_schedule, step_decay, exponential_decay, cosine_decay, warmup_cosine
    Training               fit, fit_many, evaluate, place, adapt, make_train_step, make_train_epoch,
                           init_train_state, TrainState, use_compilation_cache
    What training returns  Fit, Epoch, Ensemble, Evaluation, Divergence, TrainingDiverged
    scikit-learn           estimators
    Metrics                accuracy, confusion_matrix, r2_score
    Checking gradients     check, check_gradient, check_layer, check_rule, finite_differences, good_point, Report
    Proofs                 prove, prove_gradient, prove_layer, prove_rule, Proof
    Reading a network      trace, agree, explain, flow, backward_by_loops
    Files                  save, load, load_metadata, save_network, load_network, to_torch, from_torch,
                           export_stablehlo, load_stablehlo
    Pictures               plots
    Parameters, as data    DenseParams, LinearParams, ConvParams, KernelParams, NormParams, PreluParams,
                           RepeatParams, BatchNormState
"""

from fnn import datasets, estimators, initializers, plots, preprocessing
from fnn.inspection.agreement import agree
from fnn.inspection.explanation import explain
from fnn.inspection.loops import backward_by_loops
from fnn.inspection.signal_flow import flow
from fnn.inspection.summaries import summary
from fnn.inspection.tracing import trace
from fnn.layers.activations import gelu, identity, relu, sigmoid, softmax, softplus, swish, tanh
from fnn.layers.augmentation import random_shift
from fnn.layers.base import Layer, no_params, stateless
from fnn.layers.combinators import RepeatParams, repeat, residual, serial
from fnn.layers.convolution import ConvParams, KernelParams, conv2d
from fnn.layers.dense import DenseParams, LinearParams, dense
from fnn.layers.dropout import dropout
from fnn.layers.elementwise import Activation, activation
from fnn.layers.normalization import BatchNormState, NormParams, batch_norm, layer_norm
from fnn.layers.pooling import average_pool, max_pool
from fnn.layers.precision import mixed_precision
from fnn.layers.rectifiers import PreluParams, elu, leaky_relu, prelu
from fnn.layers.rescaling import flatten, rescale, standardize_inputs
from fnn.layers.theta import count_params, flatten_params, unflatten_params, weight_mask
from fnn.losses.base import Loss, scaled, summed
from fnn.losses.on_logits import (
    half_mean_squared_error,
    huber,
    mean_absolute_error,
    mean_squared_error,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from fnn.losses.on_probabilities import binary_cross_entropy, cross_entropy
from fnn.losses.penalties import Penalty, l1, l2, spectral_norm
from fnn.losses.targets import smooth_labels
from fnn.networks.adapting import adapt
from fnn.networks.building import mlp, network
from fnn.networks.lifting import differentiable
from fnn.networks.network import Network
from fnn.networks.target_units import standardize_targets
from fnn.optimizers.adaptive import adagrad, adam, adamw, rmsprop
from fnn.optimizers.base import Optimizer, apply_updates
from fnn.optimizers.clipping import chain, clip_by_global_norm, clip_by_value
from fnn.optimizers.descent import lion, momentum, sgd
from fnn.optimizers.orthogonal import muon
from fnn.optimizers.schedules import constant_schedule, cosine_decay, exponential_decay, step_decay, warmup_cosine
from fnn.preprocessing import audit
from fnn.recipes import recipe
from fnn.storage.files import load, load_metadata, save
from fnn.storage.networks import load_network, save_network
from fnn.storage.stablehlo import export_stablehlo, load_stablehlo
from fnn.storage.torch import from_torch, to_torch
from fnn.training.compiling import use_compilation_cache
from fnn.training.devices import place
from fnn.training.divergence import Divergence, TrainingDiverged
from fnn.training.ensembles import Ensemble, fit_many
from fnn.training.evaluation import Evaluation, evaluate
from fnn.training.fitting import fit
from fnn.training.metrics import accuracy, confusion_matrix, r2_score
from fnn.training.outcomes import Epoch, Fit
from fnn.training.steps import TrainState, init_train_state, make_train_epoch, make_train_step
from fnn.verify.blind_spots import good_point
from fnn.verify.check import check, check_layer
from fnn.verify.custom_rules import check_rule
from fnn.verify.functions import check_gradient
from fnn.verify.oracles import finite_differences
from fnn.verify.proving.gradients import prove_gradient, prove_layer, prove_rule
from fnn.verify.proving.proof import Proof
from fnn.verify.proving.prove import prove
from fnn.verify.report import Report

# fmt: off
__all__ = [
    "datasets", "preprocessing", "audit",
    "dense", "conv2d", "max_pool", "average_pool", "flatten", "rescale", "standardize_inputs", "random_shift",
    "layer_norm", "batch_norm", "dropout", "prelu", "serial", "residual", "repeat", "mixed_precision", "differentiable",
    "identity", "sigmoid", "tanh", "relu", "swish", "gelu", "softplus", "softmax", "leaky_relu", "elu",
    "softmax_cross_entropy", "sigmoid_cross_entropy", "mean_squared_error", "half_mean_squared_error",
    "mean_absolute_error", "huber", "cross_entropy", "binary_cross_entropy", "scaled", "summed", "smooth_labels",
    "l1", "l2", "spectral_norm",
    "initializers",
    "mlp", "network", "standardize_targets", "summary",
    "stateless", "activation", "no_params", "recipe", "Layer", "Activation", "Loss", "Penalty", "Network",
    "flatten_params", "unflatten_params", "count_params", "weight_mask",
    "sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw", "lion", "muon", "chain", "clip_by_global_norm",
    "clip_by_value", "apply_updates", "Optimizer",
    "constant_schedule", "step_decay", "exponential_decay", "cosine_decay", "warmup_cosine",
    "fit", "fit_many", "evaluate", "place", "adapt", "make_train_step", "make_train_epoch", "init_train_state",
    "TrainState", "use_compilation_cache",
    "Fit", "Epoch", "Ensemble", "Evaluation", "Divergence", "TrainingDiverged",
    "estimators",
    "accuracy", "confusion_matrix", "r2_score",
    "check", "check_gradient", "check_layer", "check_rule", "finite_differences", "good_point", "Report",
    "prove", "prove_gradient", "prove_layer", "prove_rule", "Proof",
    "trace", "agree", "explain", "flow", "backward_by_loops",
    "save", "load", "load_metadata", "save_network", "load_network", "to_torch", "from_torch", "export_stablehlo",
    "load_stablehlo",
    "plots",
    "DenseParams", "LinearParams", "ConvParams", "KernelParams", "NormParams", "PreluParams", "RepeatParams",
    "BatchNormState",
]
# fmt: on

__version__ = "0.1.0"


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
