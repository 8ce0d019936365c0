# %% [markdown]
# # From a study to a table and a plot of your own
#
# `phis-lab report` makes the usual tables and figures. For anything else, a study is one line away from pandas: a
# report leaves `report.csv`, one row per method and number, with unit, direction and spread over seeds. Here it is that
# of the [twelve methods of PHI-S](../../experiments/phis/README.md) on four pocket teachers.

# %%
import matplotlib.pyplot as plt
import pandas as pd

study = pd.read_csv("experiments/phis/report.csv")
study[["method", "metric", "mean", "std", "seeds", "unit"]].head()

# %%
fidelity = study[study.metric.str.endswith("spatial/fidelity")]
fidelity = fidelity.assign(teacher=fidelity.metric.str.split("/").str[0])
table = fidelity.pivot(index="method", columns="teacher", values="mean")
table.sort_values("ppocr", ascending=False).round(3)

# %% [markdown]
# ## Does a student that matches its teachers classify better?
#
# The mean over teachers of the variance that the student explains, against the accuracy of kNN on its summary. With two
# seeds and twelve methods this is a picture, not a finding.

# %%
explained = (1 - 1 / table).clip(lower=0).mean(axis=1)
knn = study[study.metric == "knn/accuracy"].set_index("method")
figure, ax = plt.subplots(figsize=(7, 3.6))
for number, method in enumerate(explained.sort_values(ascending=False).index):
    mean, std = knn.loc[method, ["mean", "std"]]
    ax.errorbar(explained[method], mean, std, fmt="os^D"[number % 4], capsize=2, color=f"C{number % 10}", label=method)
ax.legend(fontsize=7, frameon=False, bbox_to_anchor=(1, 1))
ax.set(xlabel="variance explained, mean over teachers", ylabel="kNN accuracy (%)")
figure.tight_layout()

# %% [markdown]
# ## Straight from the records
#
# A report is made of records alone, and so can be your table: every run leaves a `result.json`, which `read_records`
# finds below a folder. `measurements` is one row per number, before any mean over seeds; `history` holds what was
# measured on the way.
#
# ```python
# from phis_lab import read_records
# from phis_lab.reports import measurements
#
# records = read_records("outputs/phis")
# numbers = measurements(records)            # method, seed, metric, value
# points = pd.DataFrame(
#     {"method": r.method, "seed": r.seed, "step": point.step, "teacher": teacher, "mse": kinds["spatial"]["mse"]}
#     for r in records
#     for point in r.history
#     for teacher, kinds in point.teacher_metrics.items()
# )
# ```
