# %% [markdown]
# # Two teachers, and what each normaliser does to them
#
# Two pretrained pocket teachers see 200 handwritten digits. Their features differ a hundredfold in size; every
# normaliser mends that in its own way, and what it does to the shape of the features is another matter.

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch

from phis_lab import Moments, TeacherPool
from phis_lab.data.digits import Digits
from phis_lab.normalizers import GlobalStandardize, Identity, PCAWhiten, PhiS, Standardize, ZCAWhiten
from phis_lab.teachers.pocket import PPOcr, XFeat

pool = TeacherPool({"ppocr": PPOcr("ppocr", image_size=64), "xfeat": XFeat("xfeat", image_size=64)})
images, _ = Digits(batch_size=50).read()
batches = torch.stack([images.images[index] for index in range(200)]).float().div(255)
batches = batches[:, None].expand(-1, 3, -1, -1).split(50)

# %% [markdown]
# ## Statistics in one pass
#
# `Moments` counts mean and covariance in float64, batch by batch; no feature is kept.

# %%
moments = {}
for batch in batches:
    for name, features in pool(batch).items():
        channels = features.spatial.shape[-1]
        moments.setdefault(name, Moments(channels)).update(features.spatial)

pd.DataFrame(
    {
        name: {
            "tokens": float(m.count),
            "channels": float(m.dim),
            "smallest deviation of a channel": m.variance.sqrt().min().item(),
            "largest": m.variance.sqrt().max().item(),
            "mean variance φ²": m.variance.mean().item(),
            "PHI-S's α": m.variance.mean().rsqrt().item(),
        }
        for name, m in moments.items()
    }
).map("{:,.3g}".format)

# %% [markdown]
# ## What is left of the differences
#
# For each normaliser: the share of the louder teacher in a sum of mean squared errors while the student knows nothing,
# the spread of variances among its channels, and the condition number of the map: by how much a mistake in one
# direction weighs more than in another, on the way back to the teacher's space.

# %%
methods = [Identity, GlobalStandardize, Standardize, PCAWhiten, ZCAWhiten, PhiS]
rows = {}
for method in methods:
    variances, condition = {}, {}
    for name, m in moments.items():
        weight, _ = method(m.dim).double().fit(m).affine()
        variances[name] = (weight @ m.covariance @ weight.T).diagonal()
        condition[name] = torch.linalg.cond(weight).item()
    means = {name: v.mean().item() for name, v in variances.items()}
    loud = variances["ppocr"]
    rows[method.__name__] = {
        "share of ppocr (%)": 100 * means["ppocr"] / sum(means.values()),
        "ppocr: largest over smallest variance": (loud.max() / loud.min()).item(),
        "ppocr: condition number": condition["ppocr"],
        "xfeat: condition number": condition["xfeat"],
    }
pd.DataFrame(rows).T.map("{:,.3g}".format)

# %% [markdown]
# PHI-S is the only one that makes all variances equal *and* keeps the condition number at one.
#
# ## Spectra
#
# Whitening makes the last eigenvalue as important as the first. How steep is the spectrum that it flattens?

# %%
figure, ax = plt.subplots(figsize=(6, 2.8))
for name, m in moments.items():
    eigenvalues, _ = m.eigh()
    ax.semilogy(torch.linspace(0, 1, m.dim), eigenvalues / eigenvalues.mean(), label=name)
ax.set(xlabel="share of the components", ylabel="eigenvalue over the mean")
ax.legend(frameon=False)
