"""Which worker a request is offered to first."""

from ostensor.workers.devices import Device
from ostensor.workers.placing import Places


def test_new_images_are_spread_and_old_ones_go_home() -> None:
    """With the first free worker always foremost, all images would end in one worker's cache while another stood idle."""
    places = Places([Device("cuda:0", 8000), Device("cuda:1", 8000), Device("cpu", 8000)])
    places.note(0, "net", "a")
    places.note(1, "net", "b")  # while the first was busy
    for image in ("c", "d", "e", "f"):
        places.note(places.place("net", image, 100).lanes[0], "net", image)
    homes = [places.place("net", image, 100).lanes[0] for image in ("a", "b", "c", "d", "e", "f")]
    assert homes == [0, 1, 0, 1, 0, 1]


def test_a_worker_that_has_the_model_comes_before_one_that_has_only_others() -> None:
    places = Places([Device("cuda:0", 8000), Device("cuda:1", 8000)])
    places.note(0, "net", "a")
    places.note(1, "other", "a")
    places.note(0, "net", "b")
    assert places.place("net", "c", 100).lanes == (0, 1)
    assert places.place("other", "c", 100).lanes == (1, 0)


def test_it_is_worth_waiting_at_home_for_as_long_as_another_look_takes() -> None:
    places = Places([Device("cuda:0", 8000), Device("cuda:1", 8000)])
    assert places.place("net", "a", 100).patience_s == 2.0
    places.note(0, "net", "a", 25.0)
    places.note(0, "net", "a")
    assert places.place("net", "a", 100).patience_s == 25.0
    places.note(0, "net", "b", 900.0)
    assert places.place("net", "b", 100).patience_s == 60.0
