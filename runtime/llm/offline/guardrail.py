"""The offline guardrail: a short list of rules, tried in order. A rule refuses what asks for harm, not what names it.

It is a tripwire for plain cases in English, no judge of intent: each rule wants a verb of asking or making next to a
harmful object, so that "kill a process", "zip bomb" and "what attacks does the guard stop" pass. Add a rule with
a row in the tests' table of refused questions and one in the table of allowed ones.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

ALLOWED = "No rule of the offline guardrail matches."

_ASK = (
    r"(?:(?:^|[.?!:;,]\s*)(?:please\s+)?|\bhow (?:to|(?:do|can|could|would|should|might) (?:i|we|you|one))\s+"
    r"|\bhelp (?:me|us)(?: to)?\s+"
    r"|\b(?:want|need|like|going|trying) to\s+|\b(?:show|tell|teach) (?:me|us)(?: how)?(?: to)?\s+"
    r"|\b(?:steps?|ways?|guide|instructions|plan|script|tool|program|recipe) (?:to|for|that)\s+)"
)
_MAKE = (
    r"\b(?:mak|build|construct|assembl|creat|synthesi[sz]|produc|manufactur|cook|brew|3d[- ]?print)(?:e|es|ing|s)?\s+"
)
_WRITE = r"\b(?:writ|creat|build|mak|develop|cod|program|deploy|spread|generat|giv)(?:e|ing)?\s+(?:me\s+|us\s+)?"
_ADJECTIVES = (
    r"(?:(?:an?|the|some|my|own|new|simple|small|working|undetectable|powerful|python|windows|linux|homemade"
    r"|basic|real|crude"
    r"|pure|good|your|convincing|fake|pipe|nail|dirty|fertili[sz]er|car|crystal|crack|nuclear|chemical"
    r"|biological)\s+){0,5}"
)
_PERSON = (
    r"(?:someone|somebody|people|(?:my|his|her|their|your|the|an?|our)\s+(?:ex-?\s?)?(?:\w+\s+)?(?:wife|husband"
    r"|neighbou?r|boss|girlfriend|boyfriend|ex|mother"
    r"|father|mom|dad|brother|sister|son|daughter|baby|roommate|man|woman|human|person|politician|president"
    r"|co-?worker|colleague|teacher|classmates?|family))\b"
)
_SECRETS = (
    r"(?:api[- ]?keys?|passwords?|credentials?|access tokens?|private keys?|secrets?|environment variables?|env vars?)"
)
_CHILD = (
    r"(?:child|children|minors?(?! (?:version|release|bump|update))|underage|preteens?|toddlers?|infants?"
    r"|schoolgirls?|schoolboys?|kids?|\d+[- ]year[- ]old)"
)
_SEXUAL = r"(?:sexual(?:ly|i[sz]ed?)?|sexy?|nudes?|naked|porn\w*|erotica?)"


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to refuse."""

    category: str
    pattern: re.Pattern[str]
    """Searched in the casefolded question."""
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guardrail says."""

    allowed: bool
    category: str
    reason: str


def _rule(category: str, pattern: str, reason: str) -> Rule:
    return Rule(category, re.compile(pattern), reason)


RULES = (
    _rule(
        "sexual_minors",
        rf"\b{_SEXUAL}\b[^.?!]{{0,40}}\b{_CHILD}\b|\b{_CHILD}\b[^.?!]{{0,25}}\b{_SEXUAL}\b",
        "Sexual content about minors is never provided.",
    ),
    _rule(
        "self_harm",
        r"\b(?:kill|hurt|harm|cut|hang|drown|starve|poison) myself\b|\bcommit(?:ting)? suicide\b"
        r"|\bsuicide (?:methods?|note)\b"
        r"|\b(?:end|take|ending|taking) my (?:own )?life\b|\bpainless(?:ly)? (?:ways? to )?(?:die|death"
        r"|suicide)\b|\boverdose on\b",
        "The question is about harming oneself; please talk to someone you trust or to a crisis line near you.",
    ),
    _rule(
        "weapons",
        rf"{_MAKE}{_ADJECTIVES}(?:bombs?|explosives?|ied|grenades?|nerve gas|nerve agents?|sarin|vx|ricin|anthrax"
        rf"|napalm"
        r"|molotov\w*|(?:chemical |biological |nuclear )?weapons?|ghost guns?|bioweapons?|silencers?"
        r"|land ?mines?)\b(?! (?:detect|dispos|squad))",
        "Instructions for making weapons or explosives are not provided.",
    ),
    _rule(
        "violence",
        rf"{_ASK}(?:kill|murder|assassinate|poison|stab|shoot|kidnap|torture|strangle|beat up|hurt)\s+{_PERSON}",
        "Help with hurting a person is not provided.",
    ),
    _rule(
        "drugs",
        rf"{_MAKE}{_ADJECTIVES}(?:meth|methamphetamine|heroin|cocaine|fentanyl|lsd|mdma|ecstasy)\b",
        "Instructions for making illegal drugs are not provided.",
    ),
    _rule(
        "malware",
        rf"{_WRITE}{_ADJECTIVES}(?:ransomware|keyloggers?|malware|computer (?:virus|worm)|virus|trojans?|rootkits?"
        rf"|botnets?|spyware"
        r"|(?:password|credential) stealers?)\b(?! (?:scan|detect|filter|protect|analy|defen|guard|sandbox|check"
        r"|policy))",
        "Help with making harmful software is not provided.",
    ),
    _rule(
        "credential_theft",
        rf"{_ASK}(?:steal|phish|harvest|crack|brute[- ]?force"
        rf"|guess(?! the id))\s+(?:into\s+)?(?:\w+(?:['’]s)?\s+){{0,4}}(?:{_SECRETS}|accounts?|credit cards?"
        rf"|card numbers"
        r"|identity|identities|cookies|wi-?fi)\b"
        rf"|{_WRITE}{_ADJECTIVES}phishing (?:e?mails?|pages?|sites?|websites?|messages?|kit|campaign)\b(?! (?:scan"
        rf"|detect|filter|policy))",
        "Help with stealing credentials or identities is not provided.",
    ),
    _rule(
        "intrusion",
        rf"{_ASK}(?:hack(?: into)?|break into|gain unauthori[sz]ed access to|ddos|launch a (?:ddos"
        rf"|dos)(?: attack)? (?:on|against))\s+(?:\w+(?:['’]s)?\s+){{0,4}}"
        r"(?:accounts?|phones?|computers?|e?mails?|wi-?fi|websites?|servers?(?!-)|networks?|cameras?|facebook"
        r"|instagram|whatsapp|bank|house|car)\b",
        "Help with breaking into other people's systems or property is not provided.",
    ),
    _rule(
        "fraud",
        rf"{_ASK}(?:forge|counterfeit|launder|fake)\s+(?:\w+\s+){{0,3}}(?:money|passports?|ids?|identity cards?"
        rf"|licen[cs]es?|che(?:ck|que)s?|prescriptions?"
        r"|diplomas?|signatures?|banknotes?|bills)\b",
        "Help with fraud or forgery is not provided.",
    ),
    _rule(
        "stalking",
        rf"{_ASK}(?:stalk|dox+|spy on|secretly (?:track|follow|record|film|monitor))\s+{_PERSON}",
        "Help with following or exposing a person in secret is not provided.",
    ),
    _rule(
        "hate",
        rf"{_WRITE}(?:\w+\s+){{0,3}}(?:racist|anti-?semitic|homophobic|islamophobic|white supremacist"
        rf"|nazi)\s+(?:\w+\s+){{0,2}}(?:jokes?|speech|slurs?|rants?|manifesto"
        r"|propaganda|poems?|posts?)\b",
        "Hateful content about groups of people is not provided.",
    ),
    _rule(
        "prompt_extraction",
        r"\b(?:ignore|disregard|forget|override|bypass)\s+(?:(?:all|any|the|your|of|my|previous|prior|above"
        r"|earlier|preceding|safety)\s+){1,5}"
        r"(?:instructions?|rules|prompts?|guidelines|guardrails?)\b(?!\s+(?:of|in|from)\s+(?:the|an?)\s+(?:old"
        r"|manual|doc|readme|book|page|file|guide))"
        r"|\b(?:reveal|show|print|repeat|output|tell|give|display|leak|what (?:is|are)|what['’]s)\s+(?:(?:me|us"
        r"|back)\s+)?your\s+"
        r"(?:(?:hidden|secret|full|exact|initial|original|entire|complete)\s+)*(?:system\s+)?(?:prompt"
        r"|instructions)\b(?!\s+(?:for|on|about)\b)",
        "The system's own instructions are not shown or set aside on request.",
    ),
    _rule(
        "secret_extraction",
        r"\b(?:reveal|print|dump|show|tell|give|send|leak|read out|what (?:is|are)|what['’]s)\s+(?:(?:me"
        r"|us)\s+)?(?:all\s+)?(?:of\s+)?"
        rf"(?:your|(?:the|this)\s+(?:server|system|machine|host|admin|root)['’]?s?)\s+(?:\w+\s+){{0,2}}{_SECRETS}"
        r"(?!\s+(?:format|header|setting|polic|rotat|require|manag|hand|stor))",
        "Keys, passwords and other secrets of this system are not given out.",
    ),
)
"""Tried in order; the first that matches refuses."""


def judge(question: str) -> Verdict:
    """The verdict on a question; whatever no rule matches is allowed."""
    text = " ".join(unicodedata.normalize("NFKC", question).casefold().split())
    for rule in RULES:
        if rule.pattern.search(text):
            return Verdict(allowed=False, category=rule.category, reason=rule.reason)
    return Verdict(allowed=True, category="none", reason=ALLOWED)
