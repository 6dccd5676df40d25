from pipelines._training import about_machine


def test_speeds_times_and_their_shares_are_about_the_machine_and_all_else_is_about_the_result():
    numbers = dict.fromkeys(
        ["total", "identity_share", "solver_s", "solver_share", "steps_per_s", "data_wait_share"],
        0.0,
    )
    assert about_machine(numbers) == ["solver_s", "solver_share", "steps_per_s", "data_wait_share"]
