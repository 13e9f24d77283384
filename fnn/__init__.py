"""Pure functions for feed-forward neural networks in JAX, every gradient derived by hand.

The names in the order in which data flows: data, layers, losses, network, optimizers, training, checks.
"""

from fnn import datasets, initializers, plots, preprocessing
from fnn.checkpoints import load, load_metadata, save
from fnn.clipping import chain, clip_by_global_norm, clip_by_value
from fnn.compiling import use_compilation_cache
from fnn.differentiable import differentiable
from fnn.divergence import Divergence, TrainingDiverged
from fnn.ensembles import Ensemble, fit_many
from fnn.evaluation import Evaluation, evaluate
from fnn.exchange import from_torch, to_torch
from fnn.exports import export_stablehlo
from fnn.fitting import Epoch, Fit, fit
from fnn.layers.activations import (
    Activation,
    elu,
    gelu,
    identity,
    leaky_relu,
    relu,
    sigmoid,
    softmax,
    softplus,
    swish,
    tanh,
)
from fnn.layers.base import Layer, no_params, stateless
from fnn.layers.combinators import RepeatParams, repeat, residual, serial
from fnn.layers.convolution import ConvParams, KernelParams, conv2d
from fnn.layers.dense import DenseParams, LinearParams, dense
from fnn.layers.dropout import dropout
from fnn.layers.inputs import flatten, rescale
from fnn.layers.normalization import BatchNormState, NormParams, batch_norm, layer_norm
from fnn.layers.pooling import average_pool, max_pool
from fnn.layers.precision import mixed_precision
from fnn.layers.prelu import PreluParams, prelu
from fnn.layers.shifting import random_shift
from fnn.losses import (
    Loss,
    half_mean_squared_error,
    huber,
    mean_absolute_error,
    mean_squared_error,
    scaled,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    summed,
)
from fnn.losses_on_probabilities import binary_cross_entropy, cross_entropy
from fnn.metrics import accuracy, confusion_matrix, r2_score
from fnn.muon import muon
from fnn.network import Network, mlp, network
from fnn.optimizers import adagrad, adam, adamw, lion, momentum, rmsprop, sgd
from fnn.penalties import Penalty, l1, l2, spectral_norm
from fnn.preprocessing import audit
from fnn.schedules import constant_schedule, cosine_decay, exponential_decay, step_decay, warmup_cosine
from fnn.targets import smooth_labels
from fnn.theta import count_params, flatten_params, summary, unflatten_params, weight_mask
from fnn.training import TrainState, init_train_state, make_train_epoch, make_train_step
from fnn.updates import Optimizer, apply_updates
from fnn.verify.agree import agree
from fnn.verify.blind_spots import good_point
from fnn.verify.check import check, check_gradient, check_layer
from fnn.verify.explain import explain
from fnn.verify.flow import flow
from fnn.verify.loops import backward_by_loops
from fnn.verify.oracles import finite_differences
from fnn.verify.report import Report
from fnn.verify.trace import trace

__version__ = "0.1.0"
