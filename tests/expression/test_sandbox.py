"""Nothing of Python, or of Jinja beyond its grammar, can be reached."""

from __future__ import annotations

import pytest

from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.template import compile_template
from tests.expression.rendering import evaluate, refused, scope

PAYLOADS = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ [].__class__.__base__ }}",
    "{{ {}.__class__.__bases__[0] }}",
    "{{ ().__class__.__bases__[0].__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ (1).__class__ }}",
    "{{ 1.5.__class__ }}",
    "{{ true.__class__ }}",
    "{{ null.__class__ }}",
    "{{ x.__globals__ }}",
    "{{ x['__init__']['__globals__'] }}",
    "{{ x|attr('__init__')|attr('__globals__') }}",
    "{{ x.__init__.__globals__.os.popen('id').read() }}",
    "{{ upper.__globals__ }}",
    "{{ upper['__globals__'] }}",
    "{{ now.__self__ }}",
    "{{ (upper).__code__ }}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum() }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ cycler('a', 'b') }}",
    "{{ joiner() }}",
    "{{ namespace(a=1) }}",
    "{{ dict(a=1) }}",
    "{{ range.__class__ }}",
    "{{ config }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__.__builtins__.__import__('os') }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ __import__('os').system('id') }}",
    "{{ eval('1') }}",
    "{{ exec('1') }}",
    "{{ open('/etc/passwd').read() }}",
    "{{ getattr('', '__class__') }}",
    "{{ type('') }}",
    "{{ globals() }}",
    "{{ vars() }}",
    "{{ '%s' % x }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{0.__class__}'|format(x) }}",
    "{{ ''.join(['a']) }}",
    "{{ 'a'.upper() }}",
    "{{ x.items() }}",
    "{{ x.pop('a') }}",
    "{{ x.clear() }}",
    "{{ [1].append(2) }}",
    "{{ (lambda: 1)() }}",
    "{{ [y for y in x] }}",
    "{{ x := 1 }}",
    "{{ x = 1 }}",
    "{{ import os }}",
    "{{ for y in x }}",
    "{{ x|map('upper')|list }}{{ x|select }}",
    "{{ x|safe }}",
    "{{ x|tojson }}",
    "{{ x|pprint }}",
    "{{ x|xmlattr }}",
    "{{ [x]|groupby('__class__') }}",
    "{{ [x]|map(attribute='__class__') }}",
    "{{ [x]|map('__class__') }}",
    "{{ [x]|sort(attribute='__class__') }}",
    "{{ [x]|unique('__class__') }}",
    "{{ [''] | map(attribute='__class__.__mro__') }}",
    "{{ [x]|sum(attribute='a', start=x) }}",
    "{{ caller() }}",
    "{{ loop }}",
    "{{ varargs }}",
    "{{ kwargs }}",
    "{{ super() }}",
    "{{ _ }}",
    "{{ __name__ }}",
    "{{ upper(*x) }}",
    "{{ upper(**x) }}",
    "{{ x.a() }}",
    "{{ x['a']() }}",
    "{{ upper('a')() }}",
    "{{ (upper)('a').b() }}",
    "{{ x is callable }}",
    "{{ x is sameas(x) }}",
    "{{ x is in([x]) }}",
    "{{ x is not divisibleby 3 }}",
    "{{ x is defined.y }}",
    "{{ x | upper.__class__ }}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_known_attack_is_refused(payload: str) -> None:
    with pytest.raises((ExpressionSyntaxError, ExpressionError)) as caught:
        compile_template(payload).render(scope(x={"a": "b"}))
    assert "object at 0x" not in str(caught.value)
    assert "<class" not in str(caught.value)
    assert "<function" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
        "{% import os %}",
        "{% set x = 1 %}",
        "{# comment #}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "{7*7}",
        "@(7*7)",
        "*{7*7}",
        "$(id)",
        "`id`",
        "{%% debug %%}",
    ],
)
def test_what_other_engines_would_run_is_plain_text(text: str) -> None:
    template = compile_template(text)
    assert template.constant
    assert template.render(scope()) == text


@pytest.mark.parametrize("key", ["__class__", "__init__", "_private", "mro"])
def test_fields_that_look_like_attributes_are_data(key: str) -> None:
    assert evaluate(f"x.{key}", x={key: "data"}) == "data"


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("x.upper()", "x | upper"),
        ("x.startswith('a')", "x | starts_with"),
        ("x.a.items()", "x.a | entries"),
        ("'a'.strip()", "(...) | trim"),
        ("x.appendd(1)", "did you mean 'append'?"),
    ],
)
def test_a_method_call_is_refused_with_what_to_write_instead(expression: str, hint: str) -> None:
    error = refused("{{ " + expression + " }}")
    assert error.code == "method-call"
    assert hint in str(error.hint)
