"""Words that are never used are found; words of a record cannot break a sentence."""

import pytest

from bayestwin.report import wording


@pytest.mark.parametrize(
    "text",
    [
        "the drug will help",
        "due to therapy",
        "a significant effect of X",
        "best option",
        "65.5 %",
        "0 %",
        "100 % response",
        "0 in 100",
        "100 in 100",
        "95% confidence interval",
        "p < 0.05",
        "hazard ratio 0.6",
        "we recommend",
        "patients should",
        "a safe choice",
        "treatment benefit",
        "it works",
        "relative risk",
        "better treatment",
    ],
)
def test_banned_expressions_are_found(text):
    assert wording.banned_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "best response VGPR",
        "Of 100 patients with these data",
        "10 in 100",
        "could be 50 to 80 (80 % range)",
        "goodwill",
        "unsafely-named",
        "main reason: new labs",
        "fewer than 5 in 100",
        "1.5 months",
    ],
)
def test_allowed_expressions_pass(text):
    assert not wording.banned_words(text)


def test_no_template_holds_a_banned_word():
    assert not {
        name: wording.banned_words(text) for name, text in wording.TEMPLATES.items() if wording.banned_words(text)
    }


def test_verbal_scale_follows_its_bins():
    assert [wording.verbal(c) for c in (0.95, 0.9, 0.7, 0.5, 0.2, 0.05)] == [
        "very likely",
        "very likely",
        "likely",
        "about as likely as not",
        "unlikely",
        "very unlikely",
    ]


def test_no_clear_difference_where_confidence_is_middling_or_the_difference_small():
    assert (
        not wording.is_clear(0.5, 0.3)
        and not wording.is_clear(0.99, 0.04)
        and not wording.is_clear(None, 0.3)
        and wording.is_clear(0.95, 0.2)
    )


def test_control_and_direction_characters_become_a_visible_mark():
    assert wording.clean("a\u202eb\u0007c\nd") == "a\ufffdb\ufffdc d"


def test_long_names_keep_beginning_and_end_so_that_they_stay_apart():
    names = [f"Idecabtagen vicleucel nach \u00dcberbr\u00fcckung mit vielen W\u00f6rtern, Arm {k}" for k in range(3)]
    short = [wording.short_label(name) for name in names]
    assert len(set(short)) == 3 and all(len(name) <= 34 for name in short)


def test_right_to_left_text_is_isolated_in_sentences():
    pointer = (sayings := wording.Sayings()).say("T4withheld", A="\u05e9\u05dc\u05d5\u05dd", B="X", reason="none")
    assert pointer == "/text/0" and "\u2068\u05e9\u05dc\u05d5\u05dd\u2069" in sayings.entries[0]["rendered"]
