"""What is decided beside the weights."""

from ostensor.models.inference.decisions import Decisions


def test_a_synonym_is_decided_on_as_its_structure_and_its_own_rules_win() -> None:
    plain = Decisions(cutoffs={"liver": 2.0, "jecur": 3.0}, single=frozenset({"liver"}), views=("x",))
    wider = plain.under_synonyms({"liver": ["hepar", "jecur"], "spleen": ["lien"]})
    assert wider.cutoffs == {"liver": 2.0, "hepar": 2.0, "jecur": 3.0}
    assert wider.single == {"liver", "hepar", "jecur"}
    assert wider.views == ("x",)
    assert plain.cutoffs == {"liver": 2.0, "jecur": 3.0}
