"""The viewer's page in a real Chromium: it draws, plays, turns and scrubs, and asks no network for anything."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mixste.motion import Motion
from mixste.viewer import write_html

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium and chromedriver (Debian: chromium-driver)"
)


def walk(frames: int) -> np.ndarray:
    """Return a body that swings (t 17 3), camera axes, root at the origin."""
    random = np.random.default_rng(0)
    pose, swing = random.normal(0, 0.4, (17, 3)), random.normal(0, 0.2, (17, 3))
    pose[0] = swing[0] = 0
    return pose + swing * np.sin(np.arange(frames) / 9)[:, None, None]


class Page:
    """A page in the browser."""

    def __init__(self, browser) -> None:
        self.browser = browser

    def show(self, path: Path) -> None:
        """Open a page and wait until it has drawn."""
        from selenium.webdriver.support.wait import WebDriverWait

        self.browser.get_log("browser")
        self.browser.get_log("performance")
        self.browser.get(path.as_uri())
        WebDriverWait(self.browser, 20).until(lambda _: self.text("counter"))

    def wait(self, met: Callable[[], bool]) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.browser, 10, poll_frequency=0.05).until(lambda _: met())

    def find(self, name: str):
        return self.browser.find_element("id", name)

    def text(self, name: str) -> str:
        return self.browser.execute_script("return document.getElementById(arguments[0]).textContent", name)

    def frame(self) -> int:
        return int(self.text("counter").split()[1])

    def pixels(self, name: str = "view") -> str:
        """What is on a canvas, once a frame that was asked for is drawn."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )
        return self.browser.execute_script("return document.getElementById(arguments[0]).toDataURL()", name)

    def scrub(self, frame: int) -> None:
        script = "const bar = arguments[0]; bar.value = arguments[1]; bar.dispatchEvent(new Event('input'))"
        self.browser.execute_script(script, self.find("seek"), frame)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def drag(self, x: int, y: int) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.browser).drag_and_drop_by_offset(self.find("view"), x, y).perform()

    def requests(self) -> set[str]:
        """The addresses of all that the page asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        return {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,760"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Page(browser)
    browser.quit()


@pytest.fixture
def shown(page, tmp_path) -> Page:
    """Return a page of two seconds with the 2D input and a ground truth that all joints but the root are 50 mm off."""
    truth = walk(100)
    wrong = truth + (0.03, 0, 0.04) * (np.arange(17) > 0)[:, None]
    keypoints = np.concatenate([truth[..., :2] * 100 + 300, np.ones((100, 17, 1))], axis=-1)
    motion = Motion(wrong.astype(np.float32), "h36m17", 50.0, report=("2 joints were filled in.",))
    page.show(write_html(tmp_path / "page.html", motion, keypoints=keypoints, truth=truth, title="swing"))
    return page


@pytest.fixture(autouse=True)
def quiet(page) -> Iterator[None]:
    """After every test: nothing was said on the console, and nothing but the file was asked for."""
    yield
    assert page.browser.get_log("browser") == []
    assert {url.split(":")[0] for url in page.requests()} <= {"file", "data"}


def test_the_page_shows_the_motion_its_input_and_its_error(shown):
    assert shown.browser.title == "swing"
    assert shown.text("counter") == "frame 1 of 100, 0.00 s"
    assert shown.text("error") == f"MPJPE {round(50 * 16 / 17)} mm"
    assert "2 joints were filled in." in shown.text("report")
    blank = "const c = document.createElement('canvas'), o = document.getElementById(arguments[0]);"
    blank += "c.width = o.width; c.height = o.height; return c.toDataURL()"
    for canvas in ("view", "input", "curve"):
        assert shown.pixels(canvas) != shown.browser.execute_script(blank, canvas)


def test_play_advances_the_frames_at_the_motions_pace_and_pause_stops(shown):
    shown.find("play").click()
    shown.wait(lambda: shown.frame() > 10)
    shown.press(" ")  # the button has the focus, and the space bar is its own
    shown.wait(lambda: shown.text("play") == "Play")
    stopped = shown.frame(), shown.pixels()
    assert (shown.frame(), shown.pixels()) == stopped


def test_keys_step_and_go_to_the_ends(shown):
    from selenium.webdriver import Keys

    for key, frame in ((Keys.END, 100), (Keys.ARROW_LEFT, 99), (Keys.HOME, 1), (Keys.ARROW_RIGHT, 2)):
        shown.press(key)
        shown.wait(lambda frame=frame: shown.frame() == frame)
    shown.press(" ")
    shown.wait(lambda: shown.text("play") == "Pause" and shown.frame() > 2)


def test_scrubbing_changes_all_that_is_drawn(shown):
    before = [shown.pixels(name) for name in ("view", "input", "curve")]
    shown.scrub(60)
    after = [shown.pixels(name) for name in ("view", "input", "curve")]
    assert shown.frame() == 61
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_drag_turns_the_view_and_reset_brings_it_back(shown):
    before = shown.pixels()
    shown.drag(120, 30)
    assert shown.pixels() != before
    shown.press("r")
    shown.press(*"wwss")  # and what a key turned, another turns back
    shown.browser.execute_script("document.getElementById('view').dispatchEvent(new PointerEvent('pointerleave'))")
    shown.find("reset").click()
    shown.wait(lambda: shown.pixels() == before)


def test_the_wheel_zooms(shown):
    before = shown.pixels()
    shown.browser.execute_script(
        "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -200, cancelable: true}))", shown.find("view")
    )
    assert shown.pixels() != before


@pytest.mark.parametrize("option", ["overlay", "colours"])
def test_the_ground_truth_and_colours_by_error_are_choices(shown, option):
    before = shown.pixels()
    shown.find(option).click()
    assert shown.pixels() != before
    shown.find(option).click()
    assert shown.pixels() == before


def test_nothing_is_wider_than_a_phone(shown):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    shown.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert shown.browser.execute_script("return document.documentElement.scrollWidth") <= 360
        assert min(shown.find(name).size["height"] for name in ("view", "input")) > 80
    finally:
        shown.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_title_of_script_is_text(page, tmp_path):
    bad = "</script><script>document.title = 'owned'</script>"
    page.show(write_html(tmp_path / "page.html", Motion(walk(1), "h36m17", 50.0, report=(bad,)), title=bad))
    assert page.browser.title == bad
    assert bad in page.text("report")


def test_ground_truth_that_is_missing_leaves_the_rest(page, tmp_path):
    truth, keypoints = walk(3), np.zeros((3, 17, 3))
    truth[1, 5] = truth[2] = np.nan
    motion = Motion(walk(3), "h36m17", 50.0, unit="screen", frame="world", rooted=False)
    page.show(write_html(tmp_path / "page.html", motion, keypoints=keypoints, truth=truth))
    whole = page.pixels()
    page.scrub(1)
    assert page.pixels() != whole
    page.scrub(2)
    assert page.pixels() != whole
    assert page.text("error") == "MPJPE unknown"


def test_ten_thousand_frames_load_play_and_start_again_after_the_end(page, tmp_path):
    truth = walk(10_000)
    motion = Motion(truth + np.random.default_rng(1).normal(0, 0.01, truth.shape), "h36m17", 50.0)
    page.show(write_html(tmp_path / "long.html", motion, keypoints=truth[..., :2], truth=truth))
    page.scrub(9_990)
    page.wait(lambda: page.frame() == 9_991)
    page.press(" ")
    page.wait(lambda: page.frame() < 9_991)
