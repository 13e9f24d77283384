"""Pictures of networks, of their training and of gradient descent; needs the extra `plots` (matplotlib).

Every function returns a matplotlib Figure and changes nothing outside of it: nothing is shown, no backend is chosen, no
global setting is touched, so they work in notebooks, scripts and on machines without a screen. With `path=` the figure
is saved as well, in the format that the suffix names; with `ax=` it is drawn into axes of your own.

Matplotlib is imported when the first picture is drawn, so `import fnn` neither needs it nor waits for it.
"""

from fnn.plots.descent import animate_descent as animate_descent
from fnn.plots.descent import descent_path as descent_path
from fnn.plots.functions import activation_functions as activation_functions
from fnn.plots.functions import gradient_check_steps as gradient_check_steps
from fnn.plots.networks import network_diagram as network_diagram
from fnn.plots.networks import weights as weights
from fnn.plots.parameters import theta as theta
from fnn.plots.predictions import confusion_matrix as confusion_matrix
from fnn.plots.predictions import decision_boundary as decision_boundary
from fnn.plots.predictions import misclassified as misclassified
from fnn.plots.predictions import predicted_and_true as predicted_and_true
from fnn.plots.progress import loss_curves as loss_curves
from fnn.plots.signals import activation_histograms as activation_histograms
from fnn.plots.signals import gradient_norms as gradient_norms
