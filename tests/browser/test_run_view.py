"""The run view: timeline, events, replay, fork; in Chromium against a real server."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.person import Person


def completed(person: Person, question: str) -> str:
    """Asks, waits for the answer, and goes to the run view of that run."""
    person.visit()
    run_id = person.ask(question)
    person.answered()
    person.visit(f"/#/runs/{run_id}")
    expect(timeline(person.page)).to_be_visible()
    return run_id


def timeline(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Steps, turns and tools")


def position(page: Page) -> tuple[int, int]:
    """Events shown, and events there are."""
    shown, known = page.get_by_test_id("position").inner_text().split(" / ")
    return int(shown), int(known)


def picture(page: Page) -> str:
    """All that the run itself shows, as text."""
    return page.get_by_role("article").inner_text()


def scrubber(page: Page) -> Locator:
    return page.get_by_role("slider", name="Moment of the run")


def bars(page: Page, row: str) -> Locator:
    return timeline(page).get_by_role("group", name=row, exact=True).get_by_role("option")


def test_steps_that_run_at_once_have_rows_of_their_own_with_their_turns_and_tools(person: Person) -> None:
    completed(person, "Look at both side by side")
    page = person.page
    left, right = bars(page, "Look at the left"), bars(page, "Look at the right")
    assert [re.split(r", begins", bar.get_attribute("aria-label") or "")[0] for bar in left.all()] == [
        "Step “Look at the left”",
        "Turn 1",
        "Tool Search documents",
        "Turn 2",
    ]
    expect(right).to_have_count(2)
    one, other = left.first.bounding_box(), right.first.bounding_box()
    assert one is not None
    assert other is not None
    assert one["x"] < other["x"] + other["width"] and other["x"] < one["x"] + one["width"], "at the same time"
    assert one["y"] + one["height"] <= other["y"], "not on the same row"
    last = bars(page, "Put both together").first.bounding_box()
    assert last is not None
    assert last["x"] >= one["x"] + one["width"] - 1, "and what waits for both comes after them"


def test_a_bar_is_explained_when_it_is_pointed_at_or_reached_with_the_keys(person: Person) -> None:
    completed(person, "Look at both side by side")
    page = person.page
    about = page.get_by_role("region", name="About the chosen bar")
    tool = timeline(page).get_by_role("option", name=re.compile("^Tool Search documents"))
    tool.hover()
    expect(about).to_contain_text('"query":"hub"')
    expect(about).to_contain_text("completed")
    tool.focus()
    page.keyboard.press("ArrowRight")
    expect(about.get_by_role("heading")).to_have_text("Turn 2")
    page.keyboard.press("Enter")
    focused = page.locator("[role=option]:focus")
    expect(focused).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    expect(about.get_by_role("heading")).to_have_text(re.compile("^Planning: "))
    assert timeline(page).locator("[tabindex='0']").count() == 1, "one tab stop, however many bars"


def test_replay_goes_through_the_run_and_ends_as_the_run_did(person: Person) -> None:
    completed(person, "A long answer, please")
    page = person.page
    before, (shown, known) = picture(page), position(page)
    assert shown == known > 200
    person.button("1×").click()
    person.button("Replay from the beginning").click()
    expect(page.get_by_text(re.compile(r"^As it was after \d+ of"))).to_be_visible()
    expect(page.get_by_role("region", name="Write at length")).to_contain_text("bold words go by.")
    person.button("Pause").click()
    early, _ = position(page)
    assert early < known
    expect(page.get_by_role("region", name="Answer", exact=True)).to_have_count(0)
    person.button("10×").click()
    person.button("Play").click()
    expect(page.get_by_test_id("position")).to_have_text(f"{known} / {known}")
    assert picture(page) == before


def test_going_back_hides_what_came_later(person: Person) -> None:
    completed(person, "Look at both side by side")
    page = person.page
    whole = picture(page)
    last = page.get_by_role("listbox", name=re.compile("^Events")).get_by_role("option").last
    expect(last).to_contain_text("run.completed")
    timeline(page).get_by_text("Look at the right").click()
    person.button("To its beginning").click()
    shown, known = position(page)
    assert 0 < shown < known
    article = page.get_by_role("article")
    expect(article.get_by_role("region", name="Look at the left")).to_be_visible()
    expect(article).not_to_contain_text("On the left there is a hub")
    expect(article.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(article.get_by_role("button", name="End this step")).to_have_count(0)
    expect(last).not_to_contain_text("run.completed")
    scrubber(page).focus()
    page.keyboard.press("Home")
    expect(article).not_to_contain_text("Look at the left")
    page.keyboard.press("End")
    assert picture(page) == whole
    assert position(page) == (known, known)


def test_events_are_stepped_through_one_by_one(person: Person) -> None:
    completed(person, "It stumbles")
    page = person.page
    _, known = position(page)
    person.button("One event back").click()
    back, _ = position(page)
    assert back < known
    person.button("One event on").click()
    assert back < position(page)[0] <= known
    scrubber(page).focus()
    page.keyboard.press("Home")
    seen = [position(page)[0]]
    while seen[-1] < known:
        person.button("One event on").click()
        seen.append(position(page)[0])
    assert seen == sorted(set(seen)), "forward each time, to the end"


def test_what_was_withdrawn_and_tried_again_is_marked(person: Person) -> None:
    completed(person, "It stumbles")
    page = person.page
    withdrawn = timeline(page).get_by_role("option", name=re.compile("withdrawn: overloaded"))
    expect(withdrawn).to_have_count(1)
    expect(withdrawn).to_have_class(re.compile("tone-withdrawn"))
    expect(timeline(page).get_by_role("option", name=re.compile("^Turn 1, attempt 2"))).to_have_count(1)
    expect(timeline(page).get_by_role("img", name="retrying: overloaded")).to_be_attached()


def test_every_event_can_be_found_and_read_whole(person: Person) -> None:
    run_id = completed(person, "Look at both side by side")
    page = person.page
    log = person.server.get(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    card = page.get_by_role("region", name="Events", exact=True)
    listed = card.get_by_role("listbox")
    expect(listed).to_have_attribute("aria-label", f"Events, {len(log)}")
    for name, label, fits in (
        ("Family", "status", lambda e: e["family"] == "status"),
        ("Type", "tool.called", lambda e: e["type"] == "tool.called"),
        ("Step", "Look at the right", lambda e: e.get("stage") == "right"),
        ("Step", "none: planning, the run", lambda e: "stage" not in e),
    ):
        card.get_by_label(name).select_option(label)
        expect(listed).to_have_attribute("aria-label", f"Events, {sum(map(fits, log))}")
        person.button("Show all").click()
    card.get_by_label("Type").select_option("tool.called")
    listed.get_by_role("option").first.click()
    shown = json.loads(card.locator("pre").inner_text())
    assert shown == next(event for event in log if event["type"] == "tool.called")
    person.button("Show all").click()
    listed.focus()
    page.keyboard.press("Home")
    assert json.loads(card.locator("pre").inner_text()) == log[0]
    page.keyboard.press("ArrowDown")
    assert json.loads(card.locator("pre").inner_text()) == log[1]
    page.keyboard.press("End")
    assert json.loads(card.locator("pre").inner_text()) == log[-1]


def test_the_events_of_a_bar_are_one_click_away(person: Person) -> None:
    run_id = completed(person, "Look at both side by side")
    log = person.server.get(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    timeline(person.page).get_by_role("option", name=re.compile("^Tool Search documents")).click()
    person.button("Its events").click()
    wanted = [event for event in log if event.get("stage") == "left" and event.get("turn") == 1]
    listed = person.page.get_by_role("region", name="Events", exact=True).get_by_role("listbox")
    expect(listed).to_have_attribute("aria-label", f"Events, {len(wanted)}")


def test_a_fork_does_the_step_again_in_a_new_run_and_shows_it(person: Person) -> None:
    run_id = completed(person, "Look at both side by side")
    page = person.page
    page.get_by_label("Again from").select_option("3. Put both together")
    person.button("Fork").click()
    page.wait_for_url(lambda url: "/runs/" in url and not url.endswith(run_id))
    forked = person.run_in_address()
    person.answered()
    new = person.snapshot(forked)
    assert (new["resumed_from"], new["state"]) == (run_id, "completed")
    expect(timeline(page).get_by_role("group", name="Look at the left")).to_contain_text("carried over")
    expect(bars(page, "Put both together")).not_to_have_count(0)
    page.get_by_role("link", name="goes on from another run").click()
    page.wait_for_url(re.compile(run_id))
    expect(bars(page, "Look at the left")).not_to_have_count(0)


def test_a_run_that_goes_on_is_watched_looked_back_in_and_caught_up_with(person: Person) -> None:
    person.visit()
    run_id = person.ask("A long answer, please")
    person.visit(f"/#/runs/{run_id}")
    page = person.page
    article = page.get_by_role("article")
    expect(article).to_contain_text("bold words go by.")
    expect(person.button("Fork")).to_be_disabled()
    expect(article.get_by_role("button", name="Cancel")).to_be_visible()
    scrubber(page).focus()
    page.keyboard.press("Home")
    expect(article).not_to_contain_text("bold words go by.")
    expect(article.get_by_role("button", name="Cancel")).to_have_count(0)
    first = position(page)
    expect(page.get_by_test_id("position")).not_to_have_text(f"{first[0]} / {first[1]}")
    assert position(page)[0] == first[0], "what is new does not move the moment that is looked at"
    assert person.snapshot(run_id)["state"] == "running", "it ended too early to show anything"
    person.button("Live").click()
    expect(article).to_contain_text("bold words go by.")
    expect(article.get_by_role("region", name="Answer", exact=True)).to_be_visible(timeout=30_000)
    expect(person.button("Fork")).to_be_enabled()
    shown, known = position(page)
    assert shown == known == len(person.server.get(f"/v1/runs/{run_id}/events?limit=1000")["events"])


def test_a_run_that_is_not_there_says_so(person: Person) -> None:
    person.visit("/#/runs/99999999-9999-4999-8999-999999999999")
    expect(person.page.get_by_role("alert")).to_contain_text("This run is not there")


LONG_RUN = """
const [run, many] = ARGUMENTS;
const place = { stage: "s", agent: "writing", turn: 1, attempt: 1 };
const frame = (seq, type, family, data, more = {}) => {
  const event = { seq, epoch: 1, run_id: run, family, type, at: 1.7e9 + seq / 100, ...more, data };
  return `id: ${seq}.1\\nevent: ${family}\\ndata: ${JSON.stringify(event)}\\n\\n`;
};
const todos = [{ id: "s", title: "Write", agent: "writing", depends_on: [] }];
function* frames() {
  yield frame(1, "run.accepted", "status", { input: { question: "Why so much?" } });
  yield frame(2, "plan.committed", "object", { plan: { todos } });
  yield frame(3, "turn.started", "system", { model: "m", request_hash: "h" }, place);
  for (let n = 4; n < many; n += 1) yield frame(n, "turn.delta", "token", { kind: "text", text: `w${n} ` }, place);
  yield frame(many, "run.completed", "status", { answer: "done" });
}
const real = window.fetch;
window.fetch = (input, init) => {
  if (!String(input).includes(`/v1/runs/${run}/events`)) return real(input, init);
  const left = frames();
  const encoder = new TextEncoder();
  const pull = (stream) => {
    const some = Array.from({ length: 500 }, () => left.next().value ?? "").join("");
    if (some === "") stream.close();
    else stream.enqueue(encoder.encode(some));
  };
  return Promise.resolve(new Response(new ReadableStream({ pull }), { headers: { "Content-Type": "text/event-stream" } }));
};
"""
"""The events of a run of one very long answer, as a server would send them; a real one would play it for an hour."""


def test_a_hundred_thousand_events_are_listed_with_few_rows_drawn(person: Person) -> None:
    run_id, many = "0b7e9a52-4c1d-4a53-9a55-0f6f6f6f6f6f", 100_000
    page = person.page
    page.add_init_script(LONG_RUN.replace("ARGUMENTS", json.dumps([run_id, many])))
    person.visit(f"/#/runs/{run_id}")
    expect(page.get_by_test_id("position")).to_have_text(f"{many} / {many}", timeout=60_000)
    listed = page.get_by_role("region", name="Events", exact=True).get_by_role("listbox")
    expect(listed.get_by_role("option").last).to_contain_text("run.completed")
    assert listed.get_by_role("option").count() < 100
    listed.focus()
    page.keyboard.press("Home")
    expect(listed.get_by_role("option").first).to_contain_text("run.accepted")
    assert listed.get_by_role("option").count() < 100
    scrubber(page).focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    shown, _ = position(page)
    assert 0.7 * many < shown < 0.9 * many
    expect(listed).to_have_attribute("aria-label", f"Events, {shown}")


def test_on_a_phone_nothing_is_wider_than_the_screen(person: Person) -> None:
    run_id = completed(person, "Look at both side by side")
    person.page.set_viewport_size({"width": 375, "height": 740})
    person.visit(f"/#/runs/{run_id}")
    expect(timeline(person.page)).to_be_visible()
    assert person.page.evaluate("document.scrollingElement.scrollWidth") <= 375
    person.button("Zoom in").click()
    assert person.page.evaluate("document.scrollingElement.scrollWidth") <= 375, "the timeline scrolls by itself"
