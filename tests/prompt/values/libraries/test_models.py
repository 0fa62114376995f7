"""Fitted models say what they found."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from support.prompt_blocks import text


@pytest.mark.slow
def test_results_of_statsmodels_are_their_summary_without_the_time() -> None:
    formula = pytest.importorskip("statsmodels.formula.api")
    shown = text("{{m}}", m=formula.ols("v ~ w", {"v": [1.0, 2, 3], "w": [1.0, 2, 4]}).fit())
    assert "OLS Regression Results" in shown and "0.6429" in shown
    assert "Date:" not in shown and "Time:" not in shown


class _Summary:
    def __str__(self) -> str:
        return "Date:  Sat, 28 Nov 2026  R-squared: 0.5\nTime:  12:34:56  AIC: 3"


def test_only_the_time_is_left_out_of_a_summary() -> None:
    kind = type("Results", (), {"summary": lambda self: _Summary(), "params": [1], "__module__": "statsmodels.x"})
    assert text("{{m}}", m=kind()).split() == ["R-squared:", "0.5", "AIC:", "3"]


def test_a_summary_by_itself_and_results_that_are_a_frame_are_their_text() -> None:
    summary = type("Summary", (), {"as_text": lambda self: str(_Summary()), "__module__": "statsmodels.x"})()
    assert text("{{m}}", m=summary).split() == ["R-squared:", "0.5", "AIC:", "3"]
    prediction = type("Prediction", (), {"summary_frame": lambda self: "mean 3", "__module__": "statsmodels.x"})()
    assert text("{{m}}", m=prediction) == "mean 3"
    model = type("Model", (), {"__module__": "statsmodels.x"})()
    assert text("{{m}}", m=model) == "<statsmodels.x.Model>"


class Estimator:
    """In the form of scikit-learn's estimators."""

    def __repr__(self) -> str:
        return "Estimator(alpha=2)"

    def get_params(self) -> dict[str, Any]:
        return {"alpha": 2}

    def fit(self) -> Estimator:
        self.coef_ = numpy.array([0.5, 1.25])
        self.names_ = numpy.array(["a", "b"], dtype=object)
        self.big_ = numpy.zeros((100, 100))
        self.tree_ = object()
        self._private_ = 3
        self.refit_time_ = 0.123
        self.results_ = {"mean_fit_time": [0.1], "score": [1]}
        return self


def test_a_fitted_estimator_says_what_it_found() -> None:
    assert text("{{m}}", m=Estimator()) == "Estimator(alpha=2)"
    assert text("{{m}}", m=Estimator().fit()).splitlines() == [
        "Estimator(alpha=2)",
        "fitted:",
        "  big_ = ndarray of shape (100, 100), float64",
        "  coef_ = [0.5 , 1.25]",
        "  names_ = ['a', 'b']",
        "  results_ = {'score': [1]}",
    ]


@pytest.mark.slow
def test_the_steps_of_a_pipeline_of_scikit_learn_say_what_they_found() -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shown = text("{{m}}", m=make_pipeline(StandardScaler(), LinearRegression()).fit([[1.0], [2], [3]], [2, 4, 6]))
    assert "  standardscaler.mean_ = [2.]" in shown and "  linearregression.intercept_ = 4.0" in shown
