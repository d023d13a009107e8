"""Files of what libvirt answers: a question in a line, below it its answers, each after the states that gave it."""

import operator
import re


class Answers:
    def __init__(self, path):
        self.path, self.questions = path, {}
        for line in path.read_text().splitlines() if path.exists() else []:
            if not line.startswith("    "):
                states = self.questions.setdefault(line, {})
            else:
                names, answer = line.strip().split(": ", 1)
                states |= dict.fromkeys(names.split(","), answer)

    def record(self, question, given):
        self.questions[question] = given
        lines = []
        for asked, answers in self.questions.items():
            by_answer = {}
            for state, answer in answers.items():
                by_answer.setdefault(answer, []).append(state)
            lines += [asked, *(f"    {','.join(states)}: {answer}" for answer, states in by_answer.items())]
        self.path.write_text("\n".join(lines) + "\n")

    def hold(self, question, given, departures, record=False, same=operator.eq):
        """What was answered in each state is libvirt's answer, or that of the departure: (questions, states, its beginning, why)."""
        if record:
            return self.record(question, given)
        wrong = []
        for state, answer in given.items():
            libvirts = self.questions.get(question, {}).get(state)
            assert libvirts is not None, f"{question} ({state}) is not in {self.path.name}: record it"
            others = [other for questions, states, other, _ in departures if re.fullmatch(questions, question) and re.fullmatch(states, state)]
            if not (re.match(others[0], answer) if others else same(libvirts, answer)):
                wrong.append(f"{state}:\n  libvirt  {libvirts}\n  here     {answer}" + (f"\n  not even {others[0]}" if others else ""))
        assert not wrong, "\n".join([question, *wrong])
