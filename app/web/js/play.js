/** A painted video beside the one it was painted from, in step. */

export class Player {
  /** @param {Record<string, HTMLElement>} parts */
  constructor(parts) {
    this.parts = parts;
    const { "play-before": before, "play-after": after } = parts;
    const follow = () => {
      if (Math.abs(before.currentTime - after.currentTime) > 0.15) before.currentTime = after.currentTime;
    };
    after.addEventListener("play", () => before.play());
    after.addEventListener("pause", () => before.pause());
    for (const event of ["seeked", "timeupdate"]) after.addEventListener(event, follow);
    parts.play.addEventListener("close", () => {
      for (const video of [before, after]) {
        video.pause();
        URL.revokeObjectURL(video.src);
        video.removeAttribute("src");
        video.load();
      }
    });
  }

  /** @param {Blob} painted @param {Blob|undefined} original unknown after a reload */
  show(painted, original) {
    const { play, "play-before": before, "play-after": after } = this.parts;
    before.hidden = !original;
    if (original) before.src = URL.createObjectURL(original);
    after.src = URL.createObjectURL(painted);
    play.showModal();
    after.play().catch(() => undefined); // a browser that wants a click for sound shows a button for it
  }
}
