"""The operations view: what is under way, how runs ended, what they cost; in Chromium against a real server."""

from __future__ import annotations

import re

import httpx2
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.person import Person


def region(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tile").filter(has=page.get_by_text(name, exact=True))


def started(person: Person, question: str) -> str:
    answer = httpx2.post(f"{person.server.url}/v1/runs", json={"input": question}, timeout=10, trust_env=False)
    return str(answer.raise_for_status().json()["run_id"])


def ended(person: Person, run_id: str) -> None:
    """Reads the run's events to their end."""
    url = f"{person.server.url}/v1/runs/{run_id}/events"
    headers = {"Accept": "text/event-stream"}
    with httpx2.stream("GET", url, headers=headers, timeout=60, trust_env=False) as stream:
        for _ in stream.iter_raw():
            pass


def test_a_failed_run_is_counted_with_its_code_and_is_one_click_away(person: Person) -> None:
    run_id = started(person, "It breaks once")
    ended(person, run_id)
    person.visit("/#/operations")
    page = person.page
    row = region(page, "Errors").get_by_role("row").filter(has_text="request_rejected").filter(has_text="run")
    expect(row.first).to_be_visible()
    report = person.server.get("/v1/statistics")
    error = next(e for e in report["errors"] if (e["where"], e["code"]) == ("run", "request_rejected"))
    of_runs = region(page, "Errors").get_by_role("row", name=re.compile(r"request_rejected\s+run"))
    expect(of_runs.get_by_role("cell").nth(2)).to_have_text(str(error["count"]))
    of_runs.get_by_role("link").click()
    page.wait_for_url(re.compile(run_id))
    expect(page.get_by_role("article")).to_contain_text("request_rejected")


def test_the_figures_are_those_of_the_report(person: Person) -> None:
    for question in ("Look at both side by side", "It stumbles"):
        ended(person, started(person, question))
    person.visit("/#/operations")
    page = person.page
    expect(region(page, "Agents")).to_be_visible()
    report = person.server.get("/v1/statistics")
    outcomes, ends = report["outcomes"], ("completed", "failed", "cancelled", "expired")
    total = sum(outcomes[name] for name in ends)
    completion = f"{100 * outcomes['completed'] / total:.1f} %".replace("100.0", "100")
    expect(tile(page, "Completed")).to_contain_text(completion)
    expect(tile(page, "Completed")).to_contain_text(f"{outcomes['completed']} of {report['runs']} runs")
    expect(tile(page, "In error")).to_contain_text(f"{outcomes['failed'] + outcomes['expired']} failed")
    for agent in report["agents"]:
        row = region(page, "Agents").get_by_role("row").filter(has_text=agent["agent"])
        expect(row.get_by_role("cell").nth(1)).to_have_text(str(agent["calls"]))
    for tool in report["tools"]:
        expect(region(page, "Tools")).to_contain_text(tool["name"])
    saved = next(rate for rate in report["recovery"]["runs"] if rate["kind"] == "retrying:overloaded")
    row = region(page, "Recovery").get_by_role("row").filter(has_text="retrying: overloaded").filter(has_text="runs")
    expect(row).to_contain_text(f"{saved['met']} of {saved['ended']}")
    region(page, "Outcomes").get_by_text("As a table").click()
    rows = region(page, "Outcomes").get_by_role("row").all()[1:]
    completed = sum(int(row.get_by_role("cell").nth(0).inner_text()) for row in rows)
    assert completed == outcomes["completed"], "the table says what the bars show"


def test_a_run_under_way_is_there_until_it_has_ended(person: Person) -> None:
    run_id = started(person, "A long answer about operations")
    person.visit("/#/operations")
    page = person.page
    row = region(page, "Under way").get_by_role("row").filter(has_text="A long answer about operations")
    expect(row).to_be_visible()
    expect(row).to_contain_text("Running")
    expect(row.get_by_role("link")).to_have_attribute("href", f"#/runs/{run_id}")
    ended(person, run_id)
    expect(row).to_have_count(0, timeout=15_000)  # it asks again every ten seconds
    expect(
        region(page, "Newest runs").get_by_role("row", name=re.compile("A long answer about operations"))
    ).to_contain_text("Completed")


def test_the_window_is_chosen_and_asked_for(person: Person) -> None:
    person.visit("/#/operations")
    page = person.page
    with page.expect_request("**/v1/statistics?hours=1"):
        person.button("1 hour").click()
    expect(page.get_by_text(re.compile("accepted within 1 h"))).to_be_visible()
    expect(person.button("1 hour")).to_have_attribute("aria-pressed", "true")


def test_while_the_server_is_away_the_last_report_stays_and_it_says_so(person: Person) -> None:
    ended(person, started(person, "Anything"))
    page = person.page
    page.clock.install()
    person.visit("/#/operations")
    expect(region(page, "Agents")).to_be_visible()

    def away(route: Route) -> None:
        route.abort("connectionrefused")

    page.route("**/v1/statistics**", away)
    page.clock.fast_forward(10_500)
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(region(page, "Agents")).to_be_visible()
    page.unroute("**/v1/statistics**")
    page.clock.fast_forward(10_500)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_incomplete_report_says_so(person: Person) -> None:
    report = person.server.get("/v1/statistics")
    person.page.route(
        "**/v1/statistics**", lambda route: route.fulfill(json={**report, "complete": False, "runs": 2000})
    )
    person.visit("/#/operations")
    expect(person.page.get_by_text("Only the newest 2000 runs are counted")).to_be_visible()


def test_on_a_phone_nothing_is_wider_than_the_screen(person: Person) -> None:
    ended(person, started(person, "Look at both side by side"))
    person.page.set_viewport_size({"width": 375, "height": 740})
    person.visit("/#/operations")
    expect(region(person.page, "Agents")).to_be_visible()
    assert person.page.evaluate("document.scrollingElement.scrollWidth") <= 375
