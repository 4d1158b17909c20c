"""How to speak of single ImageNet classes.

Data only. A row is index, English words with their article (empty: the class's first name with an
article), Chinese words with their measure word (empty: the English name is used). Classes that belong to a
family are not listed, since the family's word is used for them.
"""

from __future__ import annotations

_ROWS = """
6||一条魟鱼
25|a salamander|一只蝾螈
26|a newt|一只蝾螈
29||一只美西螈
49|a crocodile|一条鳄鱼
50|an alligator|一条鳄鱼
71||一只蝎子
102||一只针鼹
103||一只鸭嘴兽
104||一只小袋鼠
105||一只考拉
107||一只水母
108||一只海葵
109|brain coral|脑珊瑚
113||一只蜗牛
114||一只蛞蝓
122|a lobster|一只龙虾
123||一只龙虾
124||一只小龙虾
150||一头海狮
276||一只鬣狗
298||一只獴
299||一只狐獴
327||一只海星
328||一只海胆
333||一只仓鼠
334|a porcupine or hedgehog|一只刺猬或豪猪
335|a squirrel|一只松鼠
336||一只土拨鼠
337||一只河狸
338||一只豚鼠
339|a horse|一匹马
340||一匹斑马
341|a pig|一头猪
342||一头野猪
344||一头河马
345||一头牛
346||一头水牛
347||一头野牛
348|a sheep|一只羊
349|a sheep|一只羊
350||一只羱羊
354|a camel|一头骆驼
355||一只羊驼
360||一只水獭
362||一只獾
364|a sloth|一只树懒
383|a lemur|一只狐猴
387|a red panda|一只小熊猫
388|a giant panda|一只大熊猫
398||一个算盘
401||一架手风琴
402||一把木吉他
403||一艘航空母舰
404||一架客机
405||一艘飞艇
407||一辆救护车
408|an amphibious vehicle|一辆两栖车
412|a bin|一个垃圾桶
414||一个背包
415||一家面包店
417||一个气球
418||一支圆珠笔
419|an adhesive bandage|一片创可贴
420||一把班卓琴
429||一个棒球
430||一个篮球
437|a lighthouse|一座灯塔
440||一个啤酒瓶
441||一杯啤酒
445||一件比基尼
447|binoculars|一副望远镜
450||一辆雪橇
453||一个书架
454||一家书店
456|a bow|一把弓
457||一个领结
458|a plaque|一块铭牌
459||一件胸罩
462||一把扫帚
463||一个桶
470||一支蜡烛
471||一门大炮
475||一面车后视镜
476||一个旋转木马
478||一个纸箱
479||一个车轮
480||一台自动取款机
481||一盒磁带
486||一把大提琴
487|a mobile phone|一部手机
488||一条链子
491||一把电锯
496||一只圣诞袜
500||一处崖居
501||一件斗篷
504||一个咖啡杯
505||一个咖啡壶
506|a coil|
508||一个电脑键盘
510||一艘集装箱船
513||一把短号
515||一顶牛仔帽
517|a crane|一台起重机
525||一座水坝
526||一张书桌
527||一台台式电脑
528|a telephone|一部电话
531||一块电子表
532||一张餐桌
535||一个刹车盘
541||一面鼓
543||一个哑铃
545||一台电风扇
546||一把电吉他
547||一台电力机车
549||一个信封
550|an espresso machine|一台意式咖啡机
553|a filing cabinet|一个文件柜
557||一根旗杆
558||一支长笛
559||一把折叠椅
560||一个橄榄球头盔
561||一辆叉车
562||一座喷泉
563||一支钢笔
566||一把圆号
567||一个平底锅
570|a gas mask|一个防毒面具
574||一个高尔夫球
579||一架三角钢琴
580||一间温室
582||一家杂货店
587||一把锤子
589||一个吹风机
593||一把口琴
594||一架竖琴
599||一个蜂巢
600|a hook|一个钩子
604||一个沙漏
605|an iPod|一台 iPod
606|an iron|一个熨斗
607||一盏南瓜灯
608|jeans|一条牛仔裤
610|a jersey or T-shirt|一件T恤
611||一幅拼图
612|a rickshaw|一辆人力车
614||一件和服
619||一个灯罩
621||一台割草机
626|a lighter|一个打火机
628|an ocean liner|一艘邮轮
629||一支口红
632||一个扬声器
633|a loupe|一个放大镜
635|a compass|一个指南针
637||一个邮箱
638|a swimsuit|一件泳衣
639|a swimsuit|一件泳衣
640||一个井盖
643||一个面具
644||一根火柴
646||一个迷宫
650||一个麦克风
651||一台微波炉
652|a military uniform|一套军装
654||一辆小型巴士
664||一台显示器
665||一辆轻便摩托车
670||一辆踏板摩托车
671||一辆山地自行车
672|a tent|一顶帐篷
673|a computer mouse|一个鼠标
677|a nail|一颗钉子
680|a baby's bottle teat|一个奶嘴
682||一座方尖碑
687|a pipe organ|一架管风琴
688||一台示波器
693||一支桨
694|a paddle wheel|
695||一把挂锁
696||一支画笔
697|pyjamas|一套睡衣
701||一顶降落伞
703||一张公园长椅
704||一个停车计时器
705|a railway carriage|一节火车车厢
707|a pay phone|一部公用电话
711|a bottle of perfume|一瓶香水
713||一台复印机
716||一道尖桩篱笆
718||一座码头
719||一个存钱罐
721||一个枕头
722||一个乒乓球
726|a carpenter's plane|一把刨子
727||一座天文馆
728||一个塑料袋
732||一台拍立得相机
734|a police van|一辆警车
736||一张台球桌
738||一个花盆
740||一把电钻
742||一台打印机
746|an ice-hockey puck|一个冰球
750||一床被子
752||一支球拍
754||一台收音机
755||一台射电望远镜
757||一辆房车
759|a camera|一台相机
760||一台冰箱
761||一个遥控器
762||一家餐厅
763||一把左轮手枪
764||一支步枪
765||一把摇椅
768||一个橄榄球
769|a ruler|一把尺子
770||一只跑鞋
771||一个保险箱
774||一只凉鞋
776|a saxophone|一支萨克斯
778|a scale|一个秤
779||一辆校车
781||一块记分牌
782|a screen|一块屏幕
784||一把螺丝刀
786||一台缝纫机
787||一面盾牌
791||一辆购物车
795|skis|滑雪板
798|a slide rule|一把计算尺
800|a slot machine|一台老虎机
802||一辆雪地摩托
805|a soccer ball|一个足球
806||一只袜子
809||一个汤碗
812||一架航天飞机
815|a spider web|一张蜘蛛网
818|a spotlight|一盏聚光灯
820||一台蒸汽机车
821||一座钢拱桥
823||一个听诊器
825||一道石墙
826||一块秒表
827||一个炉灶
829|a tram|一辆有轨电车
830||一副担架
831|a couch|一张沙发
833||一艘潜艇
834||一套西装
836|sunglasses|一副太阳镜
837|sunglasses|一副太阳镜
839||一座吊桥
842|swimming trunks|一条泳裤
843||一个秋千
844|a switch|一个开关
845||一支注射器
846||一盏台灯
847||一辆坦克
849||一个茶壶
850|a teddy bear|一只泰迪熊
851||一台电视
852||一个网球
853|a thatched roof|一片茅草屋顶
859||一台烤面包机
861||一个马桶座
862|a torch|一个火炬
863||一根图腾柱
866||一台拖拉机
870||一辆三轮车
872||一个三脚架
873||一座凯旋门
874||一辆无轨电车
875||一支长号
878||一个打字机键盘
879||一把雨伞
881|an upright piano|一架立式钢琴
882|a vacuum cleaner|一台吸尘器
883||一个花瓶
885|velvet|天鹅绒
886||一台自动售货机
888||一座高架桥
889||一把小提琴
890||一个排球
893||一个钱包
895|a military plane|一架军用飞机
896|a washbasin|一个洗手盆
897|a washing machine|一台洗衣机
898||一个水瓶
900||一座水塔
906|a necktie|一条领带
907||一个酒瓶
908|a wing|一只机翼
911|wool|毛线
915||一个蒙古包
916|a web page|一个网页
917||一本漫画书
918||一个填字游戏
919|a street sign|一块路牌
920||一个红绿灯
922||一份菜单
923|a plate of food|一盘食物
924|guacamole|鳄梨酱
925|consommé|清汤
926|a hot pot|火锅
928|ice cream|冰淇淋
929|an ice lolly|一根冰棍
930|a loaf of bread|一条面包
931||一个百吉饼
932||一个椒盐卷饼
933||一个芝士汉堡
934|a hot dog|一个热狗
935|mashed potato|土豆泥
936|a cabbage|一颗卷心菜
937|broccoli|西兰花
938|a cauliflower|花椰菜
939|a zucchini|一根西葫芦
943||一根黄瓜
944||一个洋蓟
945||一个甜椒
958|hay|干草
959|pasta carbonara|培根蛋面
960|chocolate sauce|巧克力酱
961|dough|面团
962|a meat loaf|肉糕
963||一个披萨
965||一个墨西哥卷饼
966|red wine|红酒
967|an espresso|一杯浓缩咖啡
968|a cup|一个杯子
969|eggnog|蛋奶酒
970|a mountain|一座山
971|a bubble|一个泡泡
972||一处悬崖
973||一片珊瑚礁
974||一个间歇泉
975|a lakeside|湖边
976||一处海岬
977||一处沙洲
978|a seashore|海边
979||一个山谷
980||一座火山
981|a baseball player|一名棒球运动员
982|a bridegroom|一位新郎
983||一名潜水员
984|rapeseed in flower|油菜花
987|corn|玉米
988||一颗橡子
989|rose hips|蔷薇果
990|a horse chestnut|七叶树果
998|an ear of corn|一根玉米
999|toilet paper|卫生纸
"""


def _column(number: int) -> dict[int, str]:
    rows = (row.split("|") for row in _ROWS.strip().splitlines())
    return {int(row[0]): row[number] for row in rows if row[number]}


ENGLISH = _column(1)
CHINESE = _column(2)
