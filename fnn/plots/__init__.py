"""Pictures of networks, of their training and of gradient descent; needs the extra `plots` (matplotlib).

Every function returns a matplotlib Figure and changes nothing outside of it: nothing is shown, no backend is chosen, no
global setting is touched, so they work in notebooks, scripts and on machines without a screen. With `path=` the figure
is saved as well, in the format that the suffix names; with `ax=` it is drawn into axes of your own.

Matplotlib is imported when the first picture is drawn, so `import fnn` neither needs it nor waits for it.
"""

from fnn.plots.predictions import confusion_matrix as confusion_matrix
from fnn.plots.predictions import misclassified as misclassified
from fnn.plots.progress import loss_curves as loss_curves
from fnn.plots.structure import weights as weights
