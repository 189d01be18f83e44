"""What a value that is none was meant to be, and how it is written in TOML."""

from __future__ import annotations

import re

WORDS = {
    **dict.fromkeys(("True", "TRUE", "yes", "Yes", "on", "On"), ("a boolean", "true")),
    **dict.fromkeys(("False", "FALSE", "no", "No", "off", "Off"), ("a boolean", "false")),
}
NOTHING = ("null", "None", "nil", "NULL", "Null", "undefined")
TYPOGRAPHIC = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb\u2033\u2032\u00b4`"

_ADDRESS = re.compile(r"(\d{1,3}(\.\d{1,3}){3}(:\d+|/\d+)?|localhost)(?=\s*(#|$))")
_NUMBER = r"[+-]?[0-9][0-9_]*(?:\.[0-9_]+)?"


def no_value(here: str, key: str) -> tuple[str, str]:
    """Message and hint for a text that begins no value; it is read from where the value should be."""
    name = key or "key"
    word = re.split(r"[\s,\]}#]", here, maxsplit=1)[0]
    if not here or here.startswith("#"):
        return "the value is missing", f'write {name} = "…", a number, true or false'
    if word in WORDS:
        what, written = WORDS[word]
        return f"{word} is no value of TOML", f"{what} is written {written}"
    if word in NOTHING:
        return f"{word} is no value of TOML", "there is none for nothing: leave the key out"
    if here[0] in TYPOGRAPHIC:
        return "these are no quotes of TOML", 'write straight ones: "…"'
    if here.startswith("="):
        return "there is an = too many", f"write {name} = value"
    if here.startswith("$") or word.startswith(("env.", "env(", "ENV")):
        if name == "port":
            return "this is no value of TOML", "write the number, or start with `eventbus serve --port $PORT`"
        return "this is no value of TOML", f'from the environment it is written {name} = {{ env = "NAME" }}'
    if here.startswith(","):
        return "a value is missing between two commas", "take one comma out"
    if re.match(r"[+-]?\.\d", here):
        return "a number has a digit before the point", f"write 0{word.lstrip('+-')}"
    if _ADDRESS.match(here):
        return "a string stands in quotes", f'write {name} = "{word}"'
    if here.startswith(("]", "}")):
        return "a value is missing", "take the last comma or = out"
    return "a string stands in quotes", f'write {name} = "…"'


def behind(value: str, here: str, key: str) -> tuple[str, str]:
    """Message and hint for something that follows a value; `value` is the whole text behind the =."""
    name = key or "key"
    if _ADDRESS.match(value):
        return "a string stands in quotes", f'write {name} = "{value.split()[0]}"'
    if re.match(r"\d{4}-\d\d", value):
        return (
            "there is no such date, or something follows it",
            'a text that begins like one stands in "quotes"',
        )
    if found := re.match(r"[+-]?0(\d[\d_]*)\b", value):
        return "a number has no zeros before it", f"write {found[1].lstrip('0') or '0'}"
    if found := re.match(rf"({_NUMBER})\.(?=\s|$)", value):
        return "a number has a digit behind the point", f"write {found[1]}.0"
    if found := re.match(r"(\d{1,3}(?:,\d{3})+)\s*(#|$)", value):
        return "a number has no commas", f"write {found[1].replace(',', '_')}"
    if found := re.match(rf"({_NUMBER})_?\s*[A-Za-z%]+\s*(#|$)", value):
        return "a number has no unit", f"write {found[1]} in the unit that the option has: seconds or bytes"
    if re.match(_NUMBER, value) and re.match(r"[\w.:/-]", here):
        return "a string stands in quotes", f'write {name} = "…"'
    if here.startswith((";", ",")):
        return f"there is a {here[0]} behind the value", "take it out: a line is one key with its value"
    if here.startswith("]"):
        return "there is a ] too many", "take it out"
    if value.startswith(("'", '"')):
        return (
            "something follows behind the string",
            "quotes inside a string need quotes of the other kind around it",
        )
    return "something follows behind the value", "a line is one key with its value; a comment begins with #"
