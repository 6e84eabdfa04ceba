/** What the page says, in English and Chinese. */

const WORDS = {
  en: {
    skipToStyles: "Skip to the styles", tagline: "Your photo, painted.", kept: "Kept", api: "API", theme: "Light or dark",
    picture: "Picture", startTitle: "Choose a photo", startHint: "Drop one here, paste it, or take one of these.",
    samples: "Sample photos", samplePortrait: "Astronaut", sampleCat: "Cat", sampleCoffee: "Cup of coffee",
    pick: "Your own photo…", camera: "Take a photo", compare: "Before and after", compareKept: "Compare", compareShape: "Paint a picture of the same shape first.",
    comparing: "Left of the line what was kept, right of it what is painted now.",
    zoom: "Zoom", zoomIn: "Zoom in", zoomOut: "Zoom out", fit: "Fit", newPhoto: "Another photo…", keep: "Keep", keptNow: "Kept.",
    download: "Download", styles: "Styles", mix: "Mix", mixHint: "Choose two to four styles, then drag the point.",
    mixMost: "Four styles at most: take one away first.",
    ownStyle: "Your own…", pad: "Mix of styles", strength: "Strength", strokes: "Stroke size", colours: "Colours",
    coloursStyle: "The style’s", coloursMatch: "Matched", coloursPhoto: "The photo’s", size: "Size", sizeOption: "{n} pixels, long side",
    paintWhere: "Paint where each style acts", paintNeeds: "Mix two styles or more first.", brush: "Brush", brushSize: "Brush size", feather: "Soft edge",
    undo: "Undo", redo: "Redo", clear: "Clear", reset: "As at first", share: "Copy link", linkCopied: "Link copied: it carries the styles and settings, not the photo.",
    linkOwn: "Link copied, without your own styles that were not used yet.", code: "Code",
    codeHint: "What is on the screen, as a request to the API.", copy: "Copy", copied: "Copied.", close: "Close", keptTitle: "Kept in this browser",
    keptEmpty: "Nothing yet: Keep, under a picture, puts it here.", open: "Open", remove: "Delete", keyTitle: "This service wants a key",
    keyLabel: "Key, kept until this tab is closed", ok: "OK", cancel: "Cancel",
    dropHere: "Drop it: left half a photo, right half a style", pickStyle: "Now choose a style.", painting: "Painting…", painted: "Painted in {s} s, {w} × {h} pixels.",
    preview: "Preview", again: "Try again", busy: "The service is busy. Trying again in {n} s.", offline: "The service can’t be reached. Trying again in {n} s.",
    offlineNow: "The service can’t be reached.", notPicture: "This is not a picture the page can use: {name}", yourStyle: "Your own", sharedStyle: "Shared style",
    styleGone: "A style of this link is no longer known to the service.", noKeep: "This browser keeps nothing here (private window?).", noBefore: "This browser can’t show such a photo; the service can read it.",
    jobs: "Large pictures", large: "As a print, long side", paintLarge: "Paint it", largeHint: "Takes minutes. It goes on when this page is closed.",
    wholeVideo: "The whole video", pickStyleVideo: "A frame stands for the video. Choose a style; Download paints all of it.",
    play: "Play", played: "Before and after", jobWaits: "waits", jobLeft: "{s} s left",
    timeline: "Time line", moment: "Time", seconds: "{s} s", addKeyframe: "Add keyframe", removeKeyframe: "Remove keyframe",
    keyframe: "Keyframe: {styles}, {p} %", keyframesNone: "Two keyframes or more change the style along the video: each keeps the style and strength of its moment.",
    keyframesOne: "One keyframe. Choose another time and style, then add the second.",
    keyframesMany: "{n} keyframes. Between two of them one style turns into the other; painted regions are left out.",
    wholeVideoKeyframes: "The whole video, with {n} keyframes",
  },
  zh: {
    skipToStyles: "跳到风格", tagline: "让照片成为画作。", kept: "收藏", api: "API", theme: "浅色或深色",
    picture: "图片", startTitle: "选择一张照片", startHint: "拖放、粘贴，或选用下面的一张。",
    samples: "示例照片", samplePortrait: "宇航员", sampleCat: "猫", sampleCoffee: "一杯咖啡",
    pick: "自己的照片…", camera: "拍照", compare: "前后对比", compareKept: "比较", compareShape: "请先绘制一张相同形状的图片。",
    comparing: "线左侧为收藏的图片，右侧为当前绘制的图片。",
    zoom: "缩放", zoomIn: "放大", zoomOut: "缩小", fit: "适合", newPhoto: "换一张照片…", keep: "收藏", keptNow: "已收藏。",
    download: "下载", styles: "风格", mix: "混合", mixHint: "选择两到四种风格，然后拖动圆点。",
    mixMost: "最多四种风格：请先去掉一种。",
    ownStyle: "自己的…", pad: "风格混合", strength: "强度", strokes: "笔触大小", colours: "颜色",
    coloursStyle: "风格的", coloursMatch: "匹配", coloursPhoto: "照片的", size: "尺寸", sizeOption: "长边 {n} 像素",
    paintWhere: "涂抹各风格的区域", paintNeeds: "请先混合两种以上的风格。", brush: "画笔", brushSize: "画笔大小", feather: "柔和边缘",
    undo: "撤销", redo: "重做", clear: "清除", reset: "恢复初始", share: "复制链接", linkCopied: "链接已复制：包含风格和设置，不含照片。",
    linkOwn: "链接已复制，不含尚未使用的自选风格。", code: "代码",
    codeHint: "当前画面对应的 API 请求。", copy: "复制", copied: "已复制。", close: "关闭", keptTitle: "保存在此浏览器",
    keptEmpty: "还没有：图片下方的“收藏”会把它放到这里。", open: "打开", remove: "删除", keyTitle: "此服务需要密钥",
    keyLabel: "密钥，保留到关闭此标签页", ok: "确定", cancel: "取消",
    dropHere: "放下：左半为照片，右半为风格", pickStyle: "现在选择一种风格。", painting: "正在绘制…", painted: "用时 {s} 秒，{w} × {h} 像素。",
    preview: "预览", again: "重试", busy: "服务繁忙，{n} 秒后重试。", offline: "无法连接服务，{n} 秒后重试。",
    offlineNow: "无法连接服务。", notPicture: "无法使用此文件：{name}", yourStyle: "自选", sharedStyle: "分享的风格",
    styleGone: "服务已不记得此链接中的一种风格。", noKeep: "此浏览器无法在这里保存（无痕窗口？）。", noBefore: "此浏览器无法显示这种照片；服务可以读取。",
    jobs: "大幅图片", large: "打印尺寸，长边", paintLarge: "绘制", largeHint: "需要几分钟；关闭此页面后仍会继续。",
    wholeVideo: "整段视频", pickStyleVideo: "这一帧代表整段视频。选择风格，再点“下载”绘制全部。",
    play: "播放", played: "前后对比", jobWaits: "等待中", jobLeft: "剩余 {s} 秒",
    timeline: "时间线", moment: "时间", seconds: "{s} 秒", addKeyframe: "添加关键帧", removeKeyframe: "删除关键帧",
    keyframe: "关键帧：{styles}，{p} %", keyframesNone: "两个以上的关键帧可让风格随视频变化：每个关键帧记住该时刻的风格和强度。",
    keyframesOne: "已有一个关键帧。换一个时间和风格，再添加第二个。",
    keyframesMany: "{n} 个关键帧。相邻两帧之间，风格逐渐过渡；涂抹的区域不会使用。",
    wholeVideoKeyframes: "整段视频，含 {n} 个关键帧",
  },
};
const STYLE_NAMES_ZH = {
  "Night swirls": "星夜漩涡", "Wheat and sky": "麦田与天空", "Stained glass": "彩绘玻璃", "Woodblock waves": "浮世绘海浪", "Marbled paper": "大理石纹纸",
  Watercolour: "水彩", "Ink wash": "水墨", Mosaic: "马赛克", "Cut paper": "剪纸", "Palette knife": "画刀", Woodcut: "木刻", "Pen and ink": "钢笔画",
  Pointillism: "点彩", "Cubist planes": "立体派", "Forest in pastel": "粉彩森林", "Comic print": "漫画印刷",
};

let language = "en";

/** @param {string} wanted as the browser says it */
export function speak(wanted) {
  language = wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-word-label]")) element.setAttribute("aria-label", word(element.dataset.wordLabel));
  delete document.documentElement.dataset.unspoken;
}

export const spoken = () => language;

/** @param {Record<string, string|number>} [values] for {places} in the text */
export function word(name, values = {}) {
  return WORDS[language][name].replace(/\{(\w+)\}/g, (_, place) => String(values[place]));
}

/** A style's name in the language spoken, where one is known. */
export const styleName = (name) => (language === "zh" && STYLE_NAMES_ZH[name]) || name;
