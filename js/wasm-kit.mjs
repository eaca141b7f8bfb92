import { Bark } from "./src/bark.js"; import { makeBrowserPlatform } from "./src/platform/browser.js"; import { nodePlatform } from "./src/platform/node.js"; import { Kit, DEMO_KIT, inCamelCase, tokensOf } from "./tests/support/kit.js";
const folder='/tmp/js-demo';
const web=makeBrowserPlatform(()=>import("onnxruntime-web"));
const platform={...web,sha256:nodePlatform.sha256,open:(s)=>{const f=nodePlatform.open(s);return {where:n=>f.where(n),read:n=>f.read(n),size:()=>null,path:()=>null,voiceNames:()=>f.voiceNames(),sha256:()=>''}}};
const kit=new Kit(DEMO_KIT);
for(const precision of ['int8','fp32']){ const b=await Bark.load(platform,folder,{precision,onWarning(){}});
 for(const c of kit.json(`${precision}/cases.json`).cases){ const t=Date.now(); const s=tokensOf(await b.speak(c.text,{...inCamelCase(c.options),voice:c.voice,seed:BigInt(c.seed)}));
  const first=(a,e)=>{const x=a.flat(),y=e.flat();let i=0;while(i<x.length&&x[i]===y[i])i++;return i===x.length&&x.length===y.length?'equal':`${i}/${y.length}`};
  console.log(precision,c.name,Date.now()-t,first(s.semantic,c.semantic_tokens),first(s.coarse,c.coarse_tokens),first(s.fine,c.fine_tokens)); }
 await b.close(); }
