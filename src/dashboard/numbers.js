// "Draw a number" and "Roll dice".

import { ask } from "./connection.js";
import { byId, make, setClass } from "./dom.js";

/** Which of nine places have a pip. */
const PIPS = { 1: "5", 2: "19", 3: "159", 4: "1379", 5: "13579", 6: "134679" };
const DICE = 5;

/** Lets a button ask for something, once at a time. What goes wrong is shown in place of what was asked for. */
export function onPress(button, shown, act) {
  let busy = false;
  button.addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    try {
      await act();
    } catch (error) {
      shown.replaceChildren(make("span", { class: "wrong" }, `No answer to show: ${error.message}`));
    } finally {
      busy = false;
    }
  });
}

export function offerNumbers() {
  const number = byId("number");
  onPress(byId("draw-number"), number, async () => {
    const { random } = await ask("./?format=json");
    setClass(number, "");
    number.replaceChildren(make("span", { class: "big" }, random.toLocaleString()));
  });
  const dice = byId("dice");
  onPress(byId("roll-dice"), dice, async () => {
    const { values } = await ask(`integers?min=1&max=6&count=${DICE}`);
    const sum = values.reduce((sum, value) => sum + value, 0);
    dice.replaceChildren(...values.map(die), make("span", {}, `together ${sum}`));
  });
}

function die(value) {
  const places = [..."123456789"].map(place => make("span", { class: PIPS[value].includes(place) ? "pip" : "" }));
  return make("span", { class: "die", role: "img", "aria-label": String(value) }, ...places);
}
