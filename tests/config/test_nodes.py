"""Classes that a configuration names and that are not there."""

import pytest

from phis_lab.config.nodes import located, refuse_targets
from phis_lab.normalizers import PhiS


def test_a_dotted_name_is_the_class() -> None:
    assert located("phis_lab.normalizers.PhiS") is PhiS


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("phis_lab.normalizers.Phis", "did you mean phis_lab.normalizers.PhiS?"),
        ("phis_lab.normalisers.PhiS", "did you mean phis_lab.normalizers?"),
        ("torch.optim.Adamw", "did you mean torch.optim.AdamW?"),
        ("no_such_package.Part", "there is no package no_such_package here"),
        ("PhiS", "a class is named as package.module.Class"),
        (None, "a class is named as package.module.Class"),
        ("phis_lab.config.option_files.CONF", "a class or a function is wanted"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_its_place(target: object, says: str) -> None:
    with pytest.raises(ValueError, match=r"evaluation\.probes\.knn\._target_=.* cannot be imported: ") as refused:
        refuse_targets({"evaluation": {"probes": {"knn": {"_target_": target}}}})
    assert says in str(refused.value)


def test_a_module_that_breaks_is_told_with_its_reason(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    (Path(str(tmp_path)) / "broken_part.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="needs the module no_such_module, which is not installed"):
        located("broken_part.Part")
