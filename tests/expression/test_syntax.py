"""What the text of an expression can have wrong: said clearly, with its place and what to do."""

from __future__ import annotations

import pytest

from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.template import compile_condition, compile_template
from tests.expression.rendering import refused

HERE = "¦"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a ¦{{ b", "this '{{' is not closed", "close it with '}}'"),
        ("¦{{ it's me", "this '{{' is not closed", None),
        ("{{ a }} ¦{{ b", "this '{{' is not closed", None),
        ("{{ a ¦} }}", "this '}' closes nothing", "'}}'"),
        ("{{ f¦(a }}", "this '(' is not closed", None),
        ("{{ a¦[0 }}", "this '[' is not closed", None),
        ("{{ {'a': 1 }¦}", "this '}' closes nothing", "'}}'"),
        ("{{ ¦(a] }}", "this '(' is not closed", None),
        ("{{ a¦) }}", "this ')' closes nothing", None),
        ("{{¦ }}", "the expression is empty", None),
        ("{{¦}}", "the expression is empty", None),
        ("{{ 1 + ¦}}", "ends too early, after '+'", None),
        ("{{ a and ¦}}", "ends too early, after 'and'", None),
        ("{{ a | ¦}}", "ends too early, after '|'; expected a name", None),
        ("{{ a ¦b }}", "unexpected 'b'", "operator"),
        ("{{ 1 ¦2 }}", "unexpected 2", "operator"),
        ("{{ a¦, b }}", "unexpected ','", "one value"),
        ("{{ a ¦= 1 }}", "unexpected '='", "'=='"),
        ("{{ a ¦= > b }}", "unexpected '='", "'=='"),
        ("{{ [1 ¦2] }}", "unexpected 2; expected ','", None),
        ("{{ {'a' ¦1} }}", "unexpected 1; expected ':'", None),
        ("{{ {'a'¦} }}", "unexpected '}'; expected ':'", None),
        ("{{ a ¦? b : c }}", "'?' is not part of the language", "'a if condition else b'"),
        ("{{ a ¦&& b }}", "'&' is not part", "'and'"),
        ("{{ a |¦| b }}", "unexpected '|'; expected a name", None),
        ("{{ ¦!a }}", "'!' is not part", "'not'"),
        ("{{ ¦$a }}", "'$' is not part", "without a sign"),
        ("{{ ¦'abc }} x", "the string that begins here is not closed", None),
        ('{{ a == ¦"abc }} x', "the string that begins here is not closed", None),
        ("{{ a¦; b }}", "';' is not part", "no statements"),
        ("{{ ¦'\\ud800' }}", "lone surrogate", None),
        ("{{ ¦99999999999999999999 }}", "64 bits", None),
        ("{{ ¦1e999 }}", "too large", None),
        ("{{¦- a }}", "white space is not controlled", "leave the '-' out"),
        ("{{ a -¦}}", "ends too early, after '-'", "leave the '-' out"),
        ("{{ a.¦'b' }}", "unexpected 'b'", None),
        ("{{ a.¦.b }}", "unexpected '.'", None),
        ("{{ a is b ¦is c }}", "unexpected 'is'", None),
        ("{{ for ¦x in y }}", "unexpected 'x'", "begins a statement"),
        ("{{ set ¦a = 1 }}", "unexpected 'a'", "begins a statement"),
        ("{{ ¦if }}", "'if' is a keyword", None),
        ("{{ a + ¦in }}", "'in' is a keyword", None),
        ("{{ ¦upperr(a) }}", "there is no function 'upperr'", "did you mean 'upper'?"),
        ("{{ a | ¦loer }}", "there is no function 'loer'", "did you mean 'lower'?"),
        ("{{ a | ¦tojson }}", "there is no function 'tojson'", "use 'to_json'"),
        ("{{ a ¦is strin }}", "no test 'strin'", "did you mean 'string'?"),
        ("{{ a ¦is string(1) }}", "takes no argument", None),
        ("{{ a¦[1, 2] }}", "one index is expected", None),
        ("{{ a¦.b() }}", "values have no methods", None),
        ("{{ a[0]¦() }}", "only functions can be called", None),
        ("{{ ¦upper(*a) }}", "cannot be unpacked", None),
        ("é {{ ¦upperr(a) }}", "there is no function", None),
    ],
)  # fmt: skip
def test_a_mistake_is_placed_and_explained(text: str, message: str, hint: str | None) -> None:
    error = refused(text.replace(HERE, ""))
    assert message in error.message
    assert hint is None or hint in str(error.hint)
    expected = text.index(HERE)
    assert error.offset in (expected, expected + len("upper")), text.replace(HERE, "")[error.offset :]
    assert error.exit_status == 2


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "the condition is empty"),
        ("  ", "the condition is empty"),
        ("{{ a }} == 'x'", "the condition goes on after '}}'"),
        ("{{ a }}{{ b }}", "the condition goes on after '}}'"),
        ("x == {{ y }}", "unexpected"),
        ("{{ a", "is not closed"),
        (5, "not a number"),
        (None, "not null"),
        ([], "not a list"),
        ({"a": 1}, "not an object"),
    ],
)
def test_a_condition_is_one_expression(condition: object, message: str) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_condition(condition)
    assert message in caught.value.message


def test_problems_of_a_condition_can_be_collected() -> None:
    problems: list[ExpressionSyntaxError] = []
    assert compile_condition("a ==", problems=problems).constant
    assert [problem.offset for problem in problems] == [4]


def test_words_of_jinja_do_not_show() -> None:
    for text in (
        "{{ a b }}",
        "{{ 1 + }}",
        "{{ (1 }}",
        "{{ a. }}",
        "{{ a.'b' }}",
        "{{ a is b is c }}",
        "{{ f(**a, b) }}",
    ):
        with pytest.raises(ExpressionSyntaxError) as caught:
            compile_template(text)
        assert not {"template", "jinja", "token", "rparen", "lbracket", "variable_end"} & set(
            str(caught.value).lower().replace("'", " ").split()
        )
