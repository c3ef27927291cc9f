// The page works without this script. With it, entries arrive as they are written.

const list = document.querySelector("#entries");
const total = document.querySelector("#total");
const form = document.querySelector("form");
const problem = document.querySelector("#problem");

function showTime(time) {
  const written = new Date(time.dateTime);
  time.textContent = written.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function addEntry({ author, text, written }) {
  const item = document.createElement("li");
  item.className = author === list.dataset.host ? "host new" : "new";
  const words = document.createElement("p");
  words.textContent = text;
  const time = document.createElement("time");
  time.dateTime = written;
  showTime(time);
  const footer = document.createElement("footer");
  footer.append(author, " ", time);
  item.append(words, footer);
  list.prepend(item);
  total.textContent = Number(total.textContent) + 1;
  document.querySelector("#empty").hidden = true;
}

document.querySelectorAll("time").forEach(showTime);

// A browser that loses the connection comes back by itself, and says which entry it saw last.
const stream = new EventSource(`/stream?after=${list.dataset.newest}`);
stream.addEventListener("message", (event) => addEntry(JSON.parse(event.data)));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!answer.ok) throw new Error(await answer.text());
    form.elements.text.value = "";
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});
