"""Special functions: the namespace ``ef.special``, after `scipy.special`.

Those of the gamma, error and Bessel families that are used most are computed here; the others need
SciPy (``pip install 'eagerflow[scipy]'``). A ufunc of SciPy that is given a Tensor finds them.

Examples
--------
>>> import eagerflow as ef
>>> ef.grad(ef.special.lgamma)(1.0)
Tensor(-0.57721566)
"""

from __future__ import annotations

from typing import Any

from eagerflow.core import Tensor, implements
from eagerflow.ops.elementwise.arithmetic import cbrt
from eagerflow.ops.elementwise.exponential import exp2, expm1, log1p
from eagerflow.ops.elementwise.trigonometric import sinc
from eagerflow.ops.networks.activation import log_sigmoid as log_expit
from eagerflow.ops.networks.activation import log_softmax as _log_softmax
from eagerflow.ops.networks.activation import sigmoid as expit
from eagerflow.ops.networks.activation import softmax as _softmax
from eagerflow.ops.reductions.reduction import logsumexp
from eagerflow.ops.special_functions.bessel import (
    i0,
    i0e,
    i1,
    i1e,
    iv,
    ive,
    j0,
    j1,
    jv,
    k0,
    k0e,
    k1,
    k1e,
    kv,
    kve,
    y0,
    y1,
    yv,
)
from eagerflow.ops.special_functions.entropy import entr, exprel, kl_div, logit, rel_entr, xlog1py, xlogy
from eagerflow.ops.special_functions.error_functions import erf, erfc, erfcinv, erfcx, erfinv, log_ndtr, ndtr, ndtri
from eagerflow.ops.special_functions.gamma_functions import (
    beta,
    betaln,
    binom,
    digamma,
    factorial,
    gamma,
    lgamma,
    multigammaln,
    polygamma,
    zeta,
)
from eagerflow.ops.special_functions.scipy_functions import (
    betainc,
    betaincinv,
    exp1,
    expi,
    expn,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    sici,
    spence,
)

comb = binom
gammaln = lgamma
jn = jv
psi = digamma

__all__ = [
    "beta",
    "betainc",
    "betaincinv",
    "betaln",
    "binom",
    "cbrt",
    "comb",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcinv",
    "erfcx",
    "erfinv",
    "exp1",
    "exp2",
    "expi",
    "expit",
    "expm1",
    "expn",
    "exprel",
    "factorial",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammainccinv",
    "gammaincinv",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "iv",
    "ive",
    "j0",
    "j1",
    "jn",
    "jv",
    "k0",
    "k0e",
    "k1",
    "k1e",
    "kl_div",
    "kv",
    "kve",
    "lgamma",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "sici",
    "sinc",
    "softmax",
    "spence",
    "xlog1py",
    "xlogy",
    "y0",
    "y1",
    "yv",
    "zeta",
]


def softmax(x: Any, axis: Any = None) -> Tensor:
    """Exponentials, divided by their sum over `axis`; by default over all axes, as SciPy's.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or sequence of int, optional
        Axes that sum to one; all of them for None.

    Returns
    -------
    Tensor
        Of the shape of `x`, from 0 to 1.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.softmax([[0.0, 0.0], [0.0, 0.0]])
    Tensor([[0.25, 0.25],
            [0.25, 0.25]])
    """
    return _softmax(x, axis)


def log_softmax(x: Any, axis: Any = None) -> Tensor:
    """Logarithm of `softmax`; by default over all axes, as SciPy's.

    Parameters
    ----------
    x : array_like
        Input.
    axis : int or sequence of int, optional
        Axes over which the exponentials sum to one; all of them for None.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Raises
    ------
    ShapeError
        The axis is out of range.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.special.log_softmax([0.0, 0.0])
    Tensor([-0.69314718, -0.69314718])
    """
    return _log_softmax(x, axis)


# A ufunc of SciPy that meets a Tensor is looked up by name, so that SciPy need not be imported to say it.
_UFUNCS = (
    "beta betainc betaincinv betaln binom cbrt entr erf erfc erfcinv erfcx erfinv exp1 exp2 expi expit expm1 expn "
    "exprel gamma gammainc gammaincc gammainccinv gammaincinv gammaln i0 i0e i1 i1e iv ive j0 j1 jn jv k0 k0e k1 k1e "
    "kl_div kv kve log1p log_expit log_ndtr logit ndtr ndtri psi rel_entr sici spence xlog1py xlogy y0 y1 yv"
)
for _name in _UFUNCS.split():
    implements(_name)(globals()[_name])
implements("_zeta")(zeta)
