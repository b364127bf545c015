"""Job files: every key has an effect or is refused with its line."""

import random

import pytest

from joblot import ConfigError
from joblot_sirene.jobs import jobfile, profiles
from joblot_sirene.jobs.jobfile import parse
from unit.config.test_fuzz import mutilated

HEAD = "niche: naf_6920Z\nfilters: {naf_include: [69.20Z]}\n"


def steps(text):
    return [call.name for call in parse(HEAD + text).profile.steps]


def errors(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, file="job.yaml")
    return [(problem.line, problem.message) for problem in caught.value.diagnostics]


def test_r57_r71_the_shipped_template_is_a_job_once_its_variables_are_filled_in():
    text = (
        jobfile.template()
        .replace("{niche_name}", "naf_4329A")
        .replace("{naf_code}", "43.29A")
        .replace("{profile}", "deep")
    )
    job = parse(text)
    assert (job.niche, job.profile.name, job.output.folder) == ("naf_4329A", "deep", "naf_4329A")
    assert job.filters.active_only is True  # D10
    assert [selection.code for selection in job.filters.naf_include] == ["4329A"]


def test_r88_every_key_that_the_template_shows_is_one():
    lines = jobfile.template().splitlines()
    shown = "\n".join(
        line.replace("# ", "", 1)
        if line.startswith(("# ", "  # ")) and ":" in line and not line.endswith((".", "default."))
        else line
        for line in lines
    )
    shown = (
        shown.replace("{niche_name}", "x")
        .replace("{naf_code}", "43.29A")
        .replace("{profile}", "standard")
        .replace("steps_order: []", "")
    )
    job = parse("\n".join(line for line in shown.splitlines() if not line.startswith("A job:")))
    assert job.policy.retention_days == 365


def test_an_unknown_key_of_dedupe_is_told_which_there_are():
    with pytest.raises(ConfigError) as caught:
        parse(HEAD + "dedupe: {zzz: 1}\n")
    assert [problem.hint for problem in caught.value.diagnostics] == ["known keys: fuzzy, keys"]


def test_r88_keys_have_their_effect():
    job = parse(
        HEAD
        + "profile: standard\nretention_days: 30\nbudgets: {max_ram_mb: 512, time_minutes: 5}\n"
        + "output: {dir: shops/paris, delimiter: ';', bom: true, lang: fr}\nprivacy: {person_names: true}\n"
        + "scoring: {weights: {contactability: 0, freshness: 1}}\nkpi_targets: {with_name: 0.5}\ndedupe: {keys: [siret, naf]}\n"
    )
    assert (job.policy.retention_days, job.policy.person_names) == (30, True)
    assert (job.budgets.max_ram_mb, job.budgets.time_minutes) == (512, 5.0)
    assert (job.output.folder, job.output.delimiter, job.output.bom) == ("shops/paris", ";", True)
    parameters = {call.name: call.parameters for call in job.profile.steps}
    assert parameters["score"].contactability == 0
    assert parameters["checks"].kpi_targets == {"with_name": 0.5}
    assert parameters["duplicates"].keys == ("siret", "naf")


def test_r88_a_key_adds_the_step_that_it_needs():
    assert steps("") == ["normalise", "identifiers", "duplicates"]
    assert steps("scoring: {weights: {unicity: 1}}") == ["normalise", "identifiers", "duplicates", "score"]
    assert steps("kpi_targets: {with_address: 0.5}") == ["normalise", "identifiers", "duplicates", "checks"]
    assert steps("dedupe: {fuzzy: 85}") == ["normalise", "identifiers", "duplicates", "likeness"]
    assert "likeness" not in steps("profile: deep\ndedupe: {fuzzy: false}")


def test_r88_steps_order_decides():
    assert steps("steps_order: [normalise, duplicates]") == ["normalise", "duplicates"]
    assert errors(HEAD + "steps_order: [duplicates]") == [(3, "the step `duplicates` must come after `normalise`")]


def test_r76_an_edited_filter_takes_effect():
    assert parse(HEAD.replace("{naf", "{active_only: false, naf")).filters.active_only is False


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + "colour: red", 3, "unknown key `colour`"),
        (HEAD + "profile: fast", 3, "there is no profile `fast`"),
        (HEAD + "output: {dir: ../x}", 3, "`output.dir` must be a folder below the output folder"),
        (HEAD + "output: {dir: /tmp}", 3, "`output.dir` must be a folder below the output folder"),
        (HEAD + "output: {lang: en}", 3, "`output.lang` must be `fr`, not `en`"),
        (HEAD + "dedupe: {keys: [siren, telephone]}", 3, "`duplicates`: `keys` must name columns of the dataset, not `telephone`"),
        (HEAD + "dedupe: {fuzzy: maybe}", 3, "`dedupe.fuzzy` must be `true`, `false` or a likeness from 50 to 100, not `maybe`"),
        (HEAD + "scoring: {weights: {email: 3}}", 3, "`score` has no parameter `email`"),
        (HEAD + "kpi_targets: {with_name: 95}", 3, "`checks`: the target of `with_name` must be a share from 0 to 1, not 95"),
        (HEAD + "budgets: {max_ram_mb: -1}", 3, "`budgets.max_ram_mb` must be a whole number from 0 to 2147483648, not `-1`"),
        (HEAD + "retention_days: 0", 3, "`retention_days` must be a whole number from 1 to 36525, not `0`"),
        ("niche: a b\nfilters: {naf_include: [69]}", 1, "`niche` must be a word of letters, digits, `_`, `-` and dots"),
        ("niche: x\nfilters: {active_only: true}", 2, "a job needs a code to include"),
        (HEAD + "retention_days: 36526", 3, "`retention_days` must be a whole number from 1 to 36525, not `36526`"),
        (HEAD + "budgets: {time_minutes: 527041}", 3, "`budgets.time_minutes` must be a number from 0 to 527040, not `527041`"),
        (HEAD + "budgets: {max_ram_mb: 9999999999999999}", 3, "`budgets.max_ram_mb` must be a whole number from 0 to 2147483648, not `9999999999999999`"),
        (HEAD + "budgets: {max_ram_mb: 99999999999999999999}", 3, "a number is too large: whole numbers have 64 bits"),
        (HEAD + "dedupe: {keys: [siret, score]}", 3, "`duplicates`: `keys` must name columns that `normalise` makes, not `score`"),
        (HEAD + "output: {dir: Batch_Report.json}", 3, "`Batch_Report.json` is the name of the batch's own report"),
        ("niche: batch_report.json/x\nfilters: {naf_include: [69]}", 1, "`batch_report.json/x` is the name of the batch's own report"),
        ("niche: café\nfilters: {naf_include: [69]}", 1, "`niche` must be a word of letters, digits, `_`, `-` and dots"),
        ("niche: -x\nfilters: {naf_include: [69]}", 1, "`niche` must be a word of letters, digits, `_`, `-` and dots"),
        (f"niche: {'x' * 101}\nfilters: {{naf_include: [69]}}", 1, "`niche` must be a word of letters, digits, `_`, `-` and dots"),
        ("filters: {naf_include: [69]}", 1, "a job needs a `niche`"),
        ("[1]", 1, "`the document` must be a mapping of keys, not a list"),
    ],
)  # fmt: skip
def test_r88_what_means_nothing_is_refused_with_its_line(text, line, message):
    assert (line, message) in errors(text)


def test_r88_everything_is_told_at_once_also_what_the_reader_finds():
    assert errors("niche: a b\nniche: c\ncolour: red\noutput: {dir: ../x, dir: y}\n") == [
        (1, "a job needs a code to include"),
        (1, "`niche` must be a word of letters, digits, `_`, `-` and dots"),
        (2, "duplicate key `niche` (first on line 1)"),
        (3, "unknown key `colour`"),
        (4, "`output.dir` must be a folder below the output folder"),
        (4, "duplicate key `dir` (first on line 4)"),
    ]
    assert errors("[1]") == [(1, "`the document` must be a mapping of keys, not a list")]


def test_texts_are_as_they_were_typed():
    job = parse("niche: 01.10\nfilters: {naf_include: [01.10, 43.20]}\noutput: {dir: 2024}\n")
    assert (job.niche, job.output.folder) == ("01.10", "2024")
    assert [selection.code for selection in job.filters.naf_include] == ["0110", "4320"]


def test_masked_rows_are_not_for_prospecting():
    masked = HEAD + "privacy: {partial_diffusion: mask}\n"
    assert parse(masked).policy.partial_diffusion == "mask"
    message = "rows with partial diffusion must not be used for prospecting, and this job scores how well people can be reached"
    assert errors(masked + "profile: standard") == [(3, message)]
    assert parse(masked + "profile: standard\nscoring: {weights: {contactability: 0}}").niche == "naf_6920Z"


@pytest.mark.parametrize("seed", range(3))
def test_mutilated_job_files_and_profiles_are_read_or_refused_with_a_line(seed):
    """Whatever stands in them, nothing but `ConfigError` comes out."""
    rng = random.Random(seed)
    template = jobfile.template().replace("{niche_name}", "x").replace("{naf_code}", "43").replace("{profile}", "deep")
    for _ in range(300):
        text, own = rng.choice([(mutilated(template, rng), None), (template, mutilated(profiles.shipped(), rng))])
        try:
            parse(text, file="job.yaml", own_profiles=own)
        except ConfigError as error:
            for problem in error.diagnostics:
                assert problem.line, (text, own)
                assert "\n" not in problem.message, (text, own)


ORIGINAL = """\
niche: "{niche_name}"
filters:
  naf_include: ["{naf_code}"]
  active_only: false
profile: "{profile}"
steps_order: []
http:
  seeds: []
  per_domain_rps: 0.5
sitemap: {{domains: [], max_urls: 0}}
feeds:
  urls: []
pdf:
  urls: []
api:
  endpoints: []
enrich:
  directory_csv: ""
  email_formats_priority: ["contact@{{d}}","info@{{d}}"]
dedupe:
  keys: ["siren","domain_root","best_email","telephone_norm"]
  fuzzy: false
scoring:
  weights: {{contactability:50, unicity:20, completeness:20, freshness:10}}
output:
  dir: "out/{niche_name}"
  lang: "fr"
kpi_targets:
  min_quality_score: 80
  max_dup_pct: 1.5
  min_url_valid_pct: 85
  min_domain_resolved_pct: 80
  min_email_plausible_pct: 60
  min_lines_per_s: 50
budgets:
  max_http_bytes: 52428800
  max_http_requests: 2000
  time_budget_min: 90
  ram_mb: 4096
scraper:
  maps: {{per_host_rps: 0.4}}
retention_days: 30
"""
"""The template of the program that this one replaces, in the form of its keys."""
NO_EFFECT = (
    "these keys need the web and have no effect: `http`, `sitemap`, `feeds`, `pdf`, `api`, `enrich`, `scraper`, "
    "`dedupe.keys: domain_root`, `dedupe.keys: best_email`, `dedupe.keys: telephone_norm`, `kpi_targets.min_quality_score`, "
    "`kpi_targets.min_url_valid_pct`, `kpi_targets.min_domain_resolved_pct`, `kpi_targets.min_email_plausible_pct`, "
    "`kpi_targets.min_lines_per_s`, `budgets.max_http_bytes`, `budgets.max_http_requests`"
)


def test_r88_the_original_template_is_read_with_a_warning_for_what_needs_the_web():
    text = ORIGINAL.format(niche_name="naf_6201Z", naf_code="6201Z", profile="standard")
    job = parse(text)
    assert job.warnings == (NO_EFFECT,)
    parameters = {call.name: call.parameters for call in job.profile.steps}
    assert parameters["duplicates"].keys == ("siren",)
    assert parameters["checks"].kpi_targets == {"distinct": 0.985}
    assert parameters["score"].contactability == 50
    assert (job.budgets.max_ram_mb, job.budgets.time_minutes) == (4096, 90)
    assert (job.output.folder, job.policy.retention_days) == ("out/naf_6201Z", 30)


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("", ()),
        ("http: {seeds: [x]}\n", ("these keys need the web and have no effect: `http`",)),
        ("dedupe: {keys: [best_email]}\n", ("these keys need the web and have no effect: `dedupe.keys: best_email`",)),
        ("kpi_targets: {min_url_valid_pct: 85}\n", ("these keys need the web and have no effect: `kpi_targets.min_url_valid_pct`",)),
        ("budgets: {max_http_bytes: 1, time_minutes: 5}\n", ("these keys need the web and have no effect: `budgets.max_http_bytes`",)),
        ("kpi_targets: {max_dup_pct: 2}\nbudgets: {ram_mb: 512}\n", ()),
    ],
)  # fmt: skip
def test_r88_only_keys_that_need_the_web_are_warned_of(text, warnings):
    assert parse(HEAD + text).warnings == warnings


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("htttp: {}\n", "unknown key `htttp`"),
        ("budgets: {max_http: 1}\n", "unknown key `budgets.max_http`"),
        ("budgets: {ram_mb: lots}\n", "`budgets.ram_mb` must be a whole number from 0 to 2147483648, not `lots`"),
        ("scoring: {weights: {contactability:x}}\n", "`score` has no parameter `contactability:x`"),
        ("dedupe: {keys: [best_fax]}\n", "`duplicates`: `keys` must name columns of the dataset, not `best_fax`"),
    ],
)
def test_r88_every_other_key_has_an_effect_or_is_refused(text, error):
    assert [message for _, message in errors(HEAD + text)] == [error]
