"""What tests of the API say of answers."""


def ids(answer):
    """The ids of the items that the answer lists."""
    assert answer.status_code == answer.json["status"] == 200, answer.text
    return [item["id"] for item in answer.json["data"]]


def problem(answer, status):
    """The body of a refusal with this status."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["message"] == answer.json["detail"]
    return answer.json
