// Somebody else has changed a device meanwhile: both versions side by side, and a choice for each field.
import { html, useState } from "./vendor/preact-htm.js";
import { at, FIELDS, label, withValue } from "./form.js";
import { Columns, Form } from "./parts.js";
import { t } from "./words.js";

const PLACES = [...FIELDS, "nic"];
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const line = ({ type, mac, ipv4 }) => `${type} ${mac} ${ipv4}`;
const text = (value) => (Array.isArray(value) ? value.map(line).join("\n") : value);

/**
 * base: the version that was edited. mine: what is to be saved. theirs: the version that is stored now.
 * onChoose(device): saves it over theirs. onTheirs(): gives up mine.
 */
export function Conflict({ base, mine, theirs, onChoose, onTheirs }) {
  const places = PLACES.filter((place) => !isSame(at(mine, place), at(theirs, place)));
  const first = (place) => (isSame(at(base, place), at(mine, place)) ? "theirs" : "mine");
  const [chosen, setChosen] = useState(Object.fromEntries(places.map((place) => [place, first(place)])));
  const of = { mine, theirs };
  const take = (device, place) => withValue(device, place, at(of[chosen[place]], place));
  const choice = (place, version) => {
    const isChosen = chosen[place] === version;
    const choose = () => setChosen({ ...chosen, [place]: version });
    return html`<td>
      <label class=${isChosen ? "chosen" : null}>
        <input type="radio" name=${place} checked=${isChosen} onChange=${choose} />
        <bdi class="version">${text(at(of[version], place))}</bdi>
      </label>
    </td>`;
  };
  return html`<section class="conflict" role="alert" aria-labelledby="conflict">
    <h2 id="conflict">${t("conflict")}</h2>
    <p>${t("conflict hint")}</p>
    <${Form} onSubmit=${() => onChoose(places.reduce(take, theirs))}>
      <div class="table"><table>
        <${Columns} names=${["field", "yours", "theirs"]} />
        <tbody>${places.map((place) => html`<tr key=${place}>
          <th scope="row">${label(place)}</th>${choice(place, "mine")}${choice(place, "theirs")}
        </tr>`)}</tbody>
      </table></div>
      <footer class="buttons">
        <button type="button" class="secondary outline" onClick=${onTheirs}>${t("take theirs")}</button>
        <button type="submit">${t("save choice")}</button>
      </footer>
    </${Form}>
  </section>`;
}
